"""`poetgen export`."""

import json
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner, Result

from poetgen.cli.main import make_app
from poetgen.model.file import load_model
from poetgen.model.format import read_header
from poetgen.runs import BUNDLED
from tests.refusal import is_refused

app = make_app()


def export(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["export", *map(str, arguments)])


@pytest.mark.parametrize(("options", "dtype"), [([], "F32"), (["--int8"], "I8")])
def test_export_writes_a_copy(
    model_file: Path, tmp_path: Path, options: list[str], dtype: str
) -> None:
    target = tmp_path / "copy.safetensors"
    result = export(model_file, *options, "-o", target)
    assert result.exit_code == 0
    assert result.stdout.startswith(f"{target}: {target.stat().st_size:,} bytes, ")
    assert read_header(target).tensors["embedding"].dtype == dtype
    original, copy = load_model(model_file), load_model(target)
    assert (copy.vocab, copy.config, copy.metrics) == (
        original.vocab,
        original.config,
        original.metrics,
    )
    assert copy.corpus_fingerprint == original.corpus_fingerprint
    tolerance = 1e-3 if options else 0
    torch.testing.assert_close(
        copy.network.embedding, original.network.embedding, rtol=0, atol=tolerance
    )


def test_export_json_describes_the_file(model_file: Path, tmp_path: Path) -> None:
    target = tmp_path / "copy.safetensors"
    result = export(model_file, "--int8", "--output", target, "--json")
    assert json.loads(result.stdout) == {
        "file": str(target),
        "bytes": target.stat().st_size,
        "dtype": "int8",
        "source": str(model_file),
    }


def test_export_int8_is_smaller(model_file: Path, tmp_path: Path) -> None:
    small, large = tmp_path / "small", tmp_path / "large"
    export(model_file, "--int8", "--output", small)
    export(model_file, "--output", large)
    assert small.stat().st_size < large.stat().st_size


def test_export_resolves_names_of_runs(
    model_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run = tmp_path / "checkpoints" / "short"
    run.mkdir(parents=True)
    model_file.rename(run / "best.safetensors")
    assert export("short", "--output", "copy.safetensors").exit_code == 0
    assert load_model(Path("copy.safetensors"))


def test_export_overwrites_only_on_request(model_file: Path, tmp_path: Path) -> None:
    target = tmp_path / "copy.safetensors"
    target.write_bytes(b"precious")
    result = export(model_file, "--output", target)
    assert is_refused(result, 2)
    assert "--overwrite" in result.stderr
    assert target.read_bytes() == b"precious"
    assert export(model_file, "--output", target, "--overwrite").exit_code == 0
    assert load_model(target)


def test_export_can_replace_its_own_source(model_file: Path) -> None:
    assert export(model_file, "--int8", "--output", model_file, "--overwrite").exit_code == 0
    assert read_header(model_file).tensors["embedding"].dtype == "I8"


def test_export_rejects_a_missing_model(tmp_path: Path) -> None:
    target = tmp_path / "copy.safetensors"
    assert is_refused(export(tmp_path / "absent", "--output", target), 1)
    assert not target.exists()


def test_export_migrates_the_bundled_model(tmp_path: Path) -> None:
    target = tmp_path / "tang.safetensors"
    assert export("tang", "--int8", "--output", target).exit_code == 0
    old, new = read_header(BUNDLED), read_header(target)
    assert new.metrics == old.metrics
    assert new.training_lines[0].num_lines == old.training_lines[0].num_lines
    assert {name: spec[:2] for name, spec in new.tensors.items()} == {
        name.replace("lines0", "lines.0"): spec[:2] for name, spec in old.tensors.items()
    }
    assert all(spec.checksum for spec in new.tensors.values())
    assert all(spec.checksum for spec in new.tensors.values())
