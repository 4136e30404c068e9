#!/bin/sh
# The main job, end to end: check, train, evaluate, draw, derive. Called by `make demo`.
set -eu
NET=examples/digits.net
"$BIN/chainrule" check "$NET"
"$BIN/chainrule" train "$NET" --out "$OUT"
"$BIN/chainrule" eval "$NET" --out "$OUT"
for view in layers operations backward; do
  "$BIN/chainrule" draw "$NET" --view "$view" --format svg --out "$OUT"
done
"$BIN/chainrule" derive "$NET" --format text --out "$OUT"
"$BIN/chainrule" derive "$NET" --format markdown --out "$OUT"
"$BIN/chainrule" derive "$NET" --format latex --out "$OUT"
echo
echo "Everything is in $OUT/:"
find "$OUT" -type f | sort
