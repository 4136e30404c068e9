"""The command line, command by command, inside this process."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from chainrule.cli import COMMANDS, cli

DIGITS = Path(__file__).resolve().parents[2] / "examples" / "digits.net"
SMALL = """\
# A line through points.
net line {
  input x: [2]
  input y: class[2]
  p = x -> dense(4) -> tanh -> dense(2)
  output softmax(p)
  loss cross_entropy(p, y)
  metric accuracy(p, y)
}
data points = moons(n = 60) -> split(valid = 0.2, test = 0.2, seed = 1)
train line on points with x = point, y = label {
  optimizer adam(lr = 1e-2)
  batch 8
  epochs 3
}
"""


def run(*args: object, text: str | None = None) -> Result:
    """A command's result; its exception, where there is one, is the test's."""
    result = CliRunner().invoke(cli, [str(a) for a in args], input=text)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert "Traceback" not in result.output
    return result


@pytest.fixture
def small(tmp_path: Path) -> Path:
    path = tmp_path / "line.net"
    path.write_text(SMALL)
    return path


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The small net and the folder of a finished run on the plain device."""
    folder = tmp_path_factory.mktemp("trained")
    path = folder / "line.net"
    path.write_text(SMALL)
    result = run("train", path, "--device", "plain", "--out", folder / "out")
    assert result.exit_code == 0, result.output
    return path, folder / "out"


# ---------------------------------------------------------------- usage


def test_help_lists_every_command_in_80_columns() -> None:
    result = run("--help")
    assert result.exit_code == 0
    assert all(name in result.output for name in COMMANDS)
    assert max(map(len, result.output.splitlines())) <= 80


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_its_help_in_80_columns(name: str) -> None:
    result = run(name, "--help")
    assert result.exit_code == 0 and "Usage: chainrule" in result.output
    assert max(map(len, result.output.splitlines())) <= 80


def test_a_misspelt_command_suggests_the_nearest() -> None:
    result = run("trian", "x.net")
    assert result.exit_code == 2
    assert "E601" in result.stderr and "did you mean `train`?" in result.stderr


def test_a_misspelt_option_suggests_the_nearest(small: Path) -> None:
    result = run("train", small, "--epoch", "3")
    assert result.exit_code == 2
    assert "E602" in result.stderr and "--epochs" in result.stderr


@pytest.mark.parametrize(
    "args",
    [("train",), ("draw", "x.net", "--view", "layer"), ("train", "x.net", "--threads", "0"),
     ("check", "x.net", "--set", "units"), ("train", "x.net", "--batch", "few")],
)  # fmt: skip
def test_a_wrong_argument_is_exit_code_2(args: tuple[str, ...]) -> None:
    result = run(*args)
    assert result.exit_code == 2 and "error[E" in result.stderr


def test_an_unexpected_exception_is_told_as_a_defect(monkeypatch: pytest.MonkeyPatch) -> None:
    from chainrule import pages

    def broken() -> list[str]:
        raise RuntimeError("boom")

    monkeypatch.setattr(pages, "codes", broken)
    result = run("explain")
    assert result.exit_code == 1
    assert "internal error: RuntimeError: boom" in result.stderr
    assert "CHAINRULE_DEBUG" in result.stderr


# ---------------------------------------------------------------- check, fmt, init


def test_check_says_what_was_checked(small: Path) -> None:
    result = run("check", small)
    assert result.exit_code == 0
    assert "ok: net line (22 parameters), data points, train line" in result.output


def test_check_tells_every_mistake_and_exits_with_2(small: Path) -> None:
    small.write_text(SMALL.replace("tanh", "tahn").replace("epochs 3", "epoch 3"))
    result = run("check", small)
    assert result.exit_code == 2
    assert "did you mean `tanh`?" in result.stderr and "did you mean `epochs`?" in result.stderr
    assert "2 mistakes" in result.stderr


def test_check_as_json_holds_places(small: Path) -> None:
    small.write_text(SMALL.replace("tanh", "tahn"))
    result = run("check", small, "--json")
    facts = json.loads(result.stdout)
    (found,) = facts["diagnostics"]
    assert result.exit_code == 2 and found["place"]["line"] == 5
    assert facts["files"][0]["ok"] is False


def test_check_of_data_that_do_not_fit_shows_both_shapes(small: Path) -> None:
    small.write_text(SMALL.replace("x: [2]", "x: [3]"))
    result = run("check", small)
    assert result.exit_code == 2 and "E414" in result.stderr


def test_check_without_the_data_files_warns_and_goes_on(small: Path) -> None:
    text = SMALL.replace("moons(n = 60)", 'csv("missing.csv", target = y)')
    small.write_text(text.replace(" with x = point, y = label", ""))
    result = run("check", small)
    assert result.exit_code == 0, result.output
    assert "warning[E403]" in result.stderr
    assert run("train", small).exit_code == 2


def test_a_missing_file_suggests_its_neighbour(small: Path) -> None:
    result = run("check", small.with_name("lime.net"))
    assert result.exit_code == 2 and "did you mean `line.net`?" in result.stderr


def test_fmt_lays_out_checks_and_is_idempotent(small: Path) -> None:
    small.write_text(SMALL.replace("  input x: [2]", "input   x:[2]"))
    assert run("fmt", "--check", small).exit_code == 1
    shown = run("fmt", "--diff", small)
    assert shown.exit_code == 0 and "+  input" in shown.output
    assert run("fmt", small).exit_code == 0
    assert run("fmt", "--check", small).exit_code == 0


def test_fmt_reads_standard_input() -> None:
    result = run("fmt", "-", text="const a=1")
    assert result.output == "const a = 1\n"


def test_fmt_leaves_a_file_with_a_mistake_alone(small: Path) -> None:
    small.write_text("net n {\n")
    assert run("fmt", small).exit_code == 2
    assert small.read_text() == "net n {\n"


@pytest.mark.parametrize("kind", ["classifier", "regression"])
def test_what_init_writes_is_checked_and_laid_out(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "my first-net.net"
    assert run("init", path, "--kind", kind).exit_code == 0
    assert run("check", path).exit_code == 0
    assert run("fmt", "--check", path).exit_code == 0


def test_init_never_overwrites(small: Path) -> None:
    result = run("init", small)
    assert result.exit_code == 2 and "E606" in result.stderr
    assert small.read_text() == SMALL


# ---------------------------------------------------------------- train, eval, predict


def test_train_leaves_a_model_a_history_and_says_where(trained: tuple[Path, Path]) -> None:
    _, out = trained
    for name in ("model.safetensors", "checkpoint.safetensors", "history.csv", "history.jsonl"):
        assert (out / name).is_file()


def test_quiet_training_says_nothing(small: Path, tmp_path: Path) -> None:
    result = run("train", small, "--device", "plain", "--epochs", "1", "-q", "--out", tmp_path)
    assert result.exit_code == 0 and result.output == ""


def test_options_go_before_the_file(small: Path, tmp_path: Path) -> None:
    result = run(
        "train", small, "--device", "plain", "--steps", "2", "--batch", "all", "--seed", "4",
        "--out", tmp_path,
    )  # fmt: skip
    assert "batch 36, 1 steps an epoch, 2 epochs" in result.output


def test_eval_measures_the_test_part(trained: tuple[Path, Path]) -> None:
    path, out = trained
    result = run("eval", path, "--out", out, "--device", "plain", "--report")
    assert result.exit_code == 0, result.output
    assert "12 test examples" in result.output and "accuracy" in result.output
    assert "precision" in result.output and "true \\ said" in result.output


def test_eval_as_json(trained: tuple[Path, Path]) -> None:
    path, out = trained
    result = run("eval", path, "--out", out, "--device", "plain", "--json", "--part", "valid")
    facts = json.loads(result.stdout)
    assert facts["part"] == "valid" and facts["examples"] == 12
    assert facts["report"]["accuracy"] == pytest.approx(facts["scores"]["accuracy"])


def test_eval_without_weights_says_how_to_get_them(small: Path, tmp_path: Path) -> None:
    result = run("eval", small, "--out", tmp_path / "nothing")
    assert result.exit_code == 2 and "E540" in result.stderr and "train first" in result.stderr


def test_predict_gives_the_same_in_every_format(trained: tuple[Path, Path]) -> None:
    path, out = trained
    x = np.random.default_rng(0).standard_normal((5, 2)).astype(np.float32)
    np.savez(out / "x.npz", x=x)
    for kind in ("npz", "json", "csv"):
        result = run(
            "predict", path, out / "x.npz", "-o", out / f"y.{kind}", "--out", out,
            "--device", "plain",
        )  # fmt: skip
        assert result.exit_code == 0, result.output
    found = np.load(out / "y.npz")
    as_json = json.loads((out / "y.json").read_text())
    assert found["output"].shape == (5, 2)
    np.testing.assert_allclose(found["output"].sum(axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(as_json["output"], found["output"], rtol=1e-6)
    assert (out / "y.csv").read_text().count("\n") == 6
    piped = run("predict", path, out / "x.npz", "--out", out, "--device", "plain")
    assert piped.stdout.strip() == (out / "y.csv").read_text().strip()


def test_predicting_from_the_wrong_shape_is_a_diagnostic(trained: tuple[Path, Path]) -> None:
    path, out = trained
    np.savez(out / "bad.npz", x=np.zeros((5, 3)))
    result = run("predict", path, out / "bad.npz", "--out", out, "--device", "plain")
    assert result.exit_code == 2 and "E418" in result.stderr


def test_a_truncated_model_is_refused(trained: tuple[Path, Path], tmp_path: Path) -> None:
    path, out = trained
    cut = tmp_path / "model.safetensors"
    cut.write_bytes((out / "model.safetensors").read_bytes()[:200])
    result = run("eval", path, "--weights", cut, "--device", "plain")
    assert result.exit_code == 2 and "E541" in result.stderr


def test_training_that_breaks_down_is_exit_code_1(small: Path, tmp_path: Path) -> None:
    small.write_text(SMALL.replace("cross_entropy(p, y)", "cross_entropy(log(p - p), y)"))
    result = run("train", small, "--device", "plain", "--out", tmp_path)
    assert result.exit_code == 1 and "E501" in result.stderr and "line.net:7:" in result.stderr


# ---------------------------------------------------------------- looking at a net


def test_summary_counts_parameters_and_work(small: Path) -> None:
    result = run("summary", small, "--json")
    facts = json.loads(result.stdout)
    assert facts["parameters"] == 22
    assert [(r["block"], r["parameters"]) for r in facts["layers"]] == [
        ("dense", 12), ("tanh", 0), ("dense", 10), ("softmax", 0),
    ]  # fmt: skip
    assert facts["layers"][0]["flops"] == 2 * 2 * 4 + 4
    shown = run("summary", small).output
    assert "parameters       22" in shown and max(map(len, shown.splitlines())) <= 80


@pytest.mark.parametrize("view", ["layers", "operations", "backward"])
def test_draw_writes_dot(view: str, small: Path, tmp_path: Path) -> None:
    result = run("draw", small, "--view", view, "--format", "dot", "--out", tmp_path)
    assert result.exit_code == 0
    assert (tmp_path / f"{view}.dot").read_text().startswith("digraph")


def test_derive_prints_and_writes(small: Path, tmp_path: Path) -> None:
    printed = run("derive", small).output
    assert "A₂ − Y" in printed
    for kind, suffix in (("markdown", "md"), ("latex", "tex")):
        assert run("derive", small, "--format", kind, "--out", tmp_path).exit_code == 0
        assert (tmp_path / f"derivation.{suffix}").stat().st_size > 500


def test_gradcheck_agrees_with_finite_differences(small: Path) -> None:
    result = run("gradcheck", small, "--device", "plain")
    assert result.exit_code == 0 and "all 4 gradients agree" in result.output


def test_gradcheck_takes_every_loss_or_the_one_asked_for(small: Path) -> None:
    small.write_text(SMALL.replace("  metric", "  loss size = sum(p^2)\n  metric"))
    result = run("gradcheck", small, "--device", "plain")
    assert result.exit_code == 0 and "all 8 gradients agree" in result.output
    assert "loss size\n" in result.output
    result = run("gradcheck", small, "--device", "plain", "--loss", "size")
    assert result.exit_code == 0 and "all 4 gradients agree" in result.output
    result = run("gradcheck", small, "--loss", "sise")
    assert result.exit_code == 2 and "did you mean `size`" in result.output


def test_gradcheck_finds_a_wrong_derivative(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from chainrule.compiler.op import registry

    tanh = type(registry()["tanh"])
    monkeypatch.setattr(tanh, "grad", lambda self, g, y, x: (g * (1 - y),))
    result = run("gradcheck", small, "--device", "plain")
    assert result.exit_code == 1 and "WRONG" in result.output


def test_an_override_changes_the_net_and_an_unknown_one_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "set.net"
    path.write_text(SMALL.replace("net line {", "net line(units = 4) {").replace("(4)", "(units)"))
    facts = json.loads(run("summary", path, "--set", "units=5", "--json").stdout)
    assert facts["parameters"] == 27
    result = run("summary", path, "--set", "unit=5")
    assert result.exit_code == 2 and "did you mean `units`?" in result.stderr


# ---------------------------------------------------------------- reference


def test_doc_describes_blocks_operations_and_data() -> None:
    assert "block dense(units, bias = true, init = glorot)" in run("doc", "dense").output
    assert "operation" in run("doc", "exp").output
    assert "optimizer adam" in run("doc", "adam").output
    assert "data source" in run("doc", "digits").output
    every = run("doc").output
    assert max(map(len, every.splitlines())) <= 80 and "  adam " in every


def test_doc_of_a_misspelt_word_suggests_the_nearest() -> None:
    result = run("doc", "dens")
    assert result.exit_code == 2 and "did you mean `dense`?" in result.stderr


def test_doc_of_a_file_shows_its_own_blocks(tmp_path: Path) -> None:
    path = tmp_path / "own.net"
    path.write_text("# Twice.\nblock twice {\n  input x: [n]\n  output 2 * x\n}\n")
    assert "Twice." in run("doc", "twice", "--file", path).output


def test_explain_prints_pages_and_lists_codes() -> None:
    assert run("explain", "e540").output.startswith("# E540:")
    assert "E540  " in run("explain").output
    result = run("explain", "E999")
    assert result.exit_code == 2 and "E604" in result.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script(shell: str) -> None:
    result = run("completion", shell)
    assert result.exit_code == 0 and "_CHAINRULE_COMPLETE" in result.output


# ---------------------------------------------------------------- compile


def test_a_compiled_package_predicts_without_chainrule(trained: tuple[Path, Path]) -> None:
    path, out = trained
    result = run("compile", path, "--out", out)
    assert result.exit_code == 0 and "import line" in result.output, result.output
    x = np.random.default_rng(1).standard_normal((4, 2)).astype(np.float32)
    np.savez(out / "c.npz", x=x)
    assert run("predict", path, out / "c.npz", "-o", out / "c_out.npz", "--out", out).exit_code == 0
    script = (
        "import sys, numpy as np\n"
        "sys.modules['chainrule'] = None\n"  # importing it is an error from here on
        "import line\n"
        "np.save('alone.npy', line.predict(x=np.load('c.npz')['x'])['output'])\n"
    )
    subprocess.run([sys.executable, "-c", script], cwd=out, check=True, timeout=120)
    expected = np.load(out / "c_out.npz")["output"]
    np.testing.assert_array_equal(np.load(out / "alone.npy"), expected)


def test_a_package_elsewhere_has_the_weights_of_the_last_run(
    small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(small.parent)
    run("train", small, "--device", "plain", "--quiet")
    result = run("compile", small, "-o", small.parent / "elsewhere")
    assert result.exit_code == 0 and "weights of out" in result.output


def test_a_net_without_output_cannot_be_compiled(small: Path) -> None:
    small.write_text(SMALL.replace("  output softmax(p)\n", ""))
    result = run("compile", small, "--out", small.parent / "o")
    assert result.exit_code == 2 and "E630" in result.stderr


def test_a_net_larger_than_memory_is_refused_with_the_figure(small: Path) -> None:
    small.write_text(SMALL.replace("dense(4)", "dense(100000000000)"))
    for command in (["train", small], ["train", small, "--device", "plain"]):
        result = run(*command, "--out", small.parent / "o")
        assert result.exit_code == 2 and "E510" in result.stderr
        assert "TB of memory" in result.stderr
