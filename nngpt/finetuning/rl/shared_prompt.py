"""Compute the probabilities of a step's answers with one pass over their shared prompt.

All answers of a step share the prompt, which is often longer than they are. TRL computes it again
for each answer, forwards and backwards; here each batch computes it once. The result is the same (a
test compares both).
"""

from __future__ import annotations

from typing import Any


def share_prompt(trainer: type[Any]) -> type[Any]:
    """Return a subclass of TRL's GRPO trainer that computes the prompt once per batch."""

    class SharedPromptTrainer(trainer):  # type: ignore[misc]
        def _get_per_token_logps_and_entropies(
            self,
            model: Any,
            input_ids: Any,
            attention_mask: Any,
            logits_to_keep: int,
            batch_size: int | None = None,
            compute_entropy: bool = False,
            **more: Any,
        ) -> tuple[Any, Any, None]:
            """Return log-probabilities and entropies [b, t] of the last `logits_to_keep` tokens.

            Batches with different prompts, with a mixture of experts or with gradient checkpointing
            (which would read the prompt's cache a second time) are passed on to TRL.
            """
            import torch

            prompt = input_ids.size(1) - logits_to_keep
            shared = prompt > 1 and bool((input_ids[:, :prompt] == input_ids[:1, :prompt]).all())
            whole = bool(attention_mask[:, :prompt].all())
            theirs = self.args.gradient_checkpointing or more.get("compute_aux_loss")
            if theirs or not (shared and whole):
                options = {"batch_size": batch_size, "compute_entropy": compute_entropy, **more}
                args = (model, input_ids, attention_mask, logits_to_keep)
                found: tuple[Any, Any, None] = super()._get_per_token_logps_and_entropies(
                    *args, **options
                )
                return found
            parts = []
            for ids, mask in zip(
                input_ids.split(batch_size or len(input_ids)),
                attention_mask.split(batch_size or len(input_ids)),
                strict=True,
            ):
                with self.accelerator.autocast():
                    parts.append(answer_probabilities(model, ids, mask, prompt))
            logps = torch.cat([part[0] for part in parts])
            return logps, torch.cat([part[1] for part in parts]) if compute_entropy else None, None

    return SharedPromptTrainer


def answer_probabilities(model: Any, ids: Any, mask: Any, prompt: int) -> tuple[Any, Any]:
    """Return log-probabilities and entropies [b, t] of the tokens after a shared prompt.

    Args:
        model: model with TRL's chunked forward (`add_fused_lm_head`).
        ids: token ids [b, prompt + t], with the same prompt in all rows.
        mask: 1 for tokens, 0 for padding on the right [b, prompt + t]; both results are 0 there.
        prompt: tokens of the prompt.
    """
    import torch
    from transformers import DynamicCache

    longest = prompt + int(mask[:, prompt:].sum(dim=1).max())
    cache = DynamicCache(config=model.config)
    # The prompt's last token is computed with each answer, because it predicts the first token.
    model(input_ids=ids[:1, : prompt - 1], past_key_values=cache, use_cache=True, logits_to_keep=1)
    cache.batch_repeat_interleave(len(ids))
    answers = ids[:, prompt - 1 : longest]
    labels = answers.masked_fill(mask[:, prompt - 1 : longest] == 0, -100)
    labels[:, 0] = -100
    found = model(
        input_ids=answers,
        attention_mask=mask[:, :longest],
        past_key_values=cache,
        labels=labels,
        fused_lm_head=True,
    )
    padding = (0, ids.size(1) - longest)
    return (
        torch.nn.functional.pad(found.log_probs, padding),
        torch.nn.functional.pad(found.entropy, padding),
    )
