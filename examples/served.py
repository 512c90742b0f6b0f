# SPDX-License-Identifier: MIT
"""From a config.json to a server: test how a model is loaded and served before its weights exist.

    python examples/served.py [--port 8000]

It needs torch and transformers.  A folder holds a configuration and a tokenizer, as on the hub.
fastinit adds the weights, and transformers answers requests.  The answers are noise, but shapes,
memory and speed are those of the real model.  Without --port, the server answers one request and
ends.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, PreTrainedTokenizerFast, TextGenerationPipeline, pipeline

import fastinit as fi


def checkpoint(folder: Path) -> None:
    """A configuration and a tokenizer of bytes, and then the weights."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    config = LlamaConfig(
        vocab_size=len(letters),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        architectures=["LlamaForCausalLM"],
    )
    config.save_pretrained(folder / "config")
    done = fi.write(folder / "config" / "config.json", folder / "model", seed=0, dtype="bfloat16")
    print(f"{done.parameters:,} parameters written")

    bytewise = Tokenizer(models.BPE({letter: i for i, letter in enumerate(letters)}, []))
    bytewise.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bytewise.decoder = decoders.ByteLevel()
    PreTrainedTokenizerFast(tokenizer_object=bytewise).save_pretrained(folder / "model")


def server(generate: TextGenerationPipeline, port: int) -> HTTPServer:
    """Answers POST requests whose body is a prompt."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            prompt = self.rfile.read(int(self.headers["Content-Length"])).decode()
            (answer,) = generate(prompt, max_new_tokens=16, do_sample=False)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode())

    return HTTPServer(("127.0.0.1", port), Handler)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, help="serve there until Ctrl-C")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        checkpoint(Path(folder))
        generate = pipeline("text-generation", f"{folder}/model")
        serving = server(generate, options.port or 0)
        if options.port:
            serving.serve_forever()
        threading.Thread(target=serving.handle_request).start()
        address = f"http://127.0.0.1:{serving.server_port}"
        answer = json.load(urllib.request.urlopen(address, b"Once upon a time"))
    print(answer)
