"""Measure the speed of writing answers: nngpt against `generate` of transformers, or llama.cpp.

`generate` computes the prompt once for each answer of a batch, nngpt once for the batch.

.venv/bin/python benchmarks/writing.py [samples] [new_tokens] [words_of_the_prompt]
.venv/bin/python benchmarks/writing.py 24 100 30 --server build/bin/llama-server
.venv/bin/python benchmarks/writing.py 8 100 30 --model qwen2.5-coder-0.5b --rows rows.jsonl

With `--rows`, nngpt alone writes one batch, and one line of JSON with its speed and the peak memory
of the process is appended. CPU seconds hardly depend on what else the machine does.

With `--server`, llama.cpp's server writes the same batch from the same file, through nngpt's
backend `openai`, with as many threads. Each writes the batch three times, in turn.
"""

from __future__ import annotations

import argparse
import json
import resource
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import httpx
import torch
from transformers import GenerationConfig

from nngpt.config import LLMConfig
from nngpt.generation.llm import openai
from nngpt.generation.llm.transformers import TransformersLLM
from nngpt.generation.models import chat, embedded
from nngpt.generation.models.adapters import shipped
from nngpt.generation.models.loading import load_base
from nngpt.protocols import LLM
from nngpt.records import Message, Prompt, Sampling

STOP = ("\n```",)


def with_generate(llm: TransformersLLM, prompt: Prompt, count: int, sampling: Sampling) -> int:
    """Write answers with `generate`, and return their tokens up to the end of each answer."""
    tokenizer, model = llm.base.tokenizer, llm._writer
    ids = torch.tensor([chat.encode(tokenizer, chat.render(tokenizer, prompt))] * count)
    settings = GenerationConfig(
        do_sample=True,
        temperature=sampling.temperature,
        top_k=sampling.top_k,
        top_p=sampling.top_p,
        max_new_tokens=sampling.max_new_tokens,
        stop_strings=list(prompt.stop),
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    with torch.inference_mode():
        rows = model.generate(
            ids.to(model.device),
            attention_mask=torch.ones_like(ids).to(model.device),
            generation_config=settings,
            tokenizer=tokenizer,
        )
    return int((rows[:, ids.shape[1] :] != tokenizer.pad_token_id).sum())


def with_nngpt(llm: LLM, prompt: Prompt, count: int, sampling: Sampling) -> int:
    """Write answers with a backend of nngpt and the same settings, and return their tokens."""
    return sum(c.completion_tokens for c in llm.generate(prompt, count, 1, sampling))


def speed(write: Callable[[], int]) -> float:
    """Return the tokens per second of the faster of two rounds."""
    rates = []
    for _ in range(2):
        torch.manual_seed(1)
        started = time.perf_counter()
        rates.append(write() / (time.perf_counter() - started))
    return max(rates)


def row(llm: TransformersLLM, prompt: Prompt, count: int, sampling: Sampling) -> dict[str, object]:
    """Write one batch; return its tokens, seconds and the peak memory of the process."""
    wall, cpu = time.perf_counter(), time.process_time()
    answers = llm.generate(prompt, count, 1, sampling)
    spent = {"wall_s": time.perf_counter() - wall, "cpu_s": time.process_time() - cpu}
    tokens = sum(answer.completion_tokens for answer in answers)
    return {
        "model": llm.model,
        "facts": llm.facts,
        "threads": torch.get_num_threads(),
        "batch": count,
        "prompt_tokens": answers[0].prompt_tokens,
        "tokens": tokens,
        **{name: round(seconds, 2) for name, seconds in spent.items()},
        "tokens_per_cpu_s": round(tokens / spent["cpu_s"], 2),
        "peak_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }


def against_generate(
    llm: TransformersLLM, prompt: Prompt, count: int, sampling: Sampling, adapters: bool
) -> None:
    """Print both speeds and their ratio, for the base and for the shipped adapter."""
    for adapter in (None, shipped()[0]) if adapters else (None,):
        llm.use_adapter(adapter)
        with_nngpt(llm, prompt, 2, Sampling(max_new_tokens=4))
        mine = speed(lambda: with_nngpt(llm, prompt, count, sampling))
        theirs = speed(lambda: with_generate(llm, prompt, count, sampling))
        name = adapter.name if adapter else "bare base"
        print(f"{name}: {mine:.1f} tokens/s, generate {theirs:.1f} tokens/s: {mine / theirs:.2f} ×")


@contextmanager
def serving(binary: Path, model: str, count: int, threads: int) -> Iterator[str]:
    """Start llama.cpp's server for batches of `count`; give its URL, and end it afterwards."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = {"-m": embedded.path(model), "-t": threads, "-tb": threads, "-np": count}
    words |= {"-c": 1024 * count, "--host": "127.0.0.1", "--port": port}
    command = [str(binary), *(str(word) for pair in words.items() for word in pair)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while True:
            if server.poll() is not None:
                raise SystemExit(f"the server ended: {' '.join(command)}")
            try:
                if httpx.get(f"http://127.0.0.1:{port}/health", timeout=5).is_success:
                    break
            except httpx.TransportError:
                pass
            time.sleep(0.5)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        server.terminate()
        server.wait()


def against_server(
    llm: TransformersLLM, binary: Path, prompt: Prompt, count: int, sampling: Sampling
) -> None:
    """Print the speeds of the embedded model and of llama.cpp's server, and their ratio."""
    with serving(binary, llm.model, count, torch.get_num_threads()) as url:
        config = LLMConfig(model=llm.model, batch_size=count)
        server = openai.create(config, options=openai.Options(url=url))
        for one in (llm, server):
            with_nngpt(one, prompt, count, Sampling(max_new_tokens=4))
        mine, theirs = list[float](), list[float]()
        for _ in range(3):
            for one, rates in ((llm, mine), (server, theirs)):
                started = time.perf_counter()
                tokens = with_nngpt(one, prompt, count, sampling)
                rates.append(tokens / (time.perf_counter() - started))
        server.close()
    ours, other = median(mine), median(theirs)
    print(f"embedded {ours:.1f} tokens/s, llama.cpp {other:.1f} tokens/s: {ours / other:.2f} ×")


def main() -> None:
    """Measure with the options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    for name, default in (("samples", 25), ("new_tokens", 300), ("words", 30)):
        parser.add_argument(name, type=int, nargs="?", default=default)
    parser.add_argument("--model", default=LLMConfig().model)
    parser.add_argument("--rows", type=Path, help="JSONL file to which a row is appended")
    parser.add_argument("--server", type=Path, help="llama.cpp's llama-server, to compare with")
    options = parser.parse_args()
    count, tokens = options.samples, options.new_tokens
    base = load_base(LLMConfig(model=options.model))
    llm = TransformersLLM(base, count)
    question = "Write a new image classifier in PyTorch for mnist."
    question += " Be brief." * (options.words // 2)
    prompt = Prompt("", "", "body", (Message("user", question),), "```python\n", STOP)
    sampling = Sampling(temperature=0.8, top_k=50, top_p=0.95, max_new_tokens=tokens)
    limits = f"{count} samples of at most {tokens} tokens, {torch.get_num_threads()} threads"
    print(f"{base.facts}; {limits}")
    if options.server:
        against_server(llm, options.server, prompt, count, sampling)
        return
    if options.rows is None:
        adapters = options.model == shipped()[0].base
        against_generate(llm, prompt, count, sampling, adapters)
        return
    found = json.dumps(row(llm, prompt, count, sampling))
    print(found)
    with options.rows.open("a", encoding="utf-8") as file:
        file.write(found + "\n")


if __name__ == "__main__":
    main()
