"""The options of plug-ins inside settings: their models, defaults and mistakes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

from nngpt import plugins
from nngpt.config.sections import Config
from nngpt.errors import ConfigError, PluginError


def with_options(settings: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Complete the options of each plug-in with their defaults; return the mistakes, too.

    A plug-in that cannot be loaded is left for the command that uses it, unless it has options.
    """
    found, mistakes = dict(settings), list[str]()
    for kind, (section, key) in plugins.SECTIONS.items():
        inner = found.get(section, {})
        if not isinstance(inner, Mapping):
            continue
        name, given = plugin_of(section, key, inner), inner.get("options", {})
        if not isinstance(name, str) or not isinstance(given, Mapping):
            continue
        try:
            options = plugins.check_options(kind, name, given)
        except ConfigError as error:
            mistakes.append(error.what)
        except PluginError as error:
            mistakes += [error.line()] if given else []
        else:
            if options is not None:
                found[section] = {**inner, "options": options.model_dump(mode="json")}
    return found, mistakes


def option_models(
    settings: Mapping[str, Any],
) -> Iterator[tuple[str, type[plugins.PluginOptions]]]:
    """Yield each section whose plug-in is installed and has options, with their model."""
    for kind, (section, key) in plugins.SECTIONS.items():
        if isinstance(settings.get(section), Mapping):
            with suppress(PluginError):
                model = plugins.options_model(kind, plugin_of(section, key, settings[section]))
                if model is not None:
                    yield section, model


def plugin_of(section: str, key: str, inner: Mapping[str, Any]) -> Any:
    """Return the name of the plug-in in a section, or its default."""
    return inner.get(key, getattr(Config.model_fields[section].default, key))


def option_defaults(model: type[plugins.PluginOptions]) -> dict[str, Any]:
    """Return the defaults of the options that have one, as JSON values."""
    fields = {k: f for k, f in model.model_fields.items() if not f.is_required()}
    values = {k: f.get_default(call_default_factory=True) for k, f in fields.items()}
    return model.model_construct(**values).model_dump(mode="json", include=set(fields))
