"""Nets of images as text, for the tests of their pictures and derivations."""

from __future__ import annotations

SMALL = """net small {
  input image: [2, 8, 8]
  input kind: class[3]
  z      = image -> conv(4, 3)
  a      = relu(z)
  p      = a -> max_pool(2)
  scores = p -> flat -> dense(3)
  output softmax(scores)
  loss cross_entropy(scores, kind)
}
"""
AVERAGED = SMALL.replace("max_pool", "avg_pool")
OVERLAPPING = SMALL.replace("max_pool(2)", "max_pool(3, stride = 2, padding = 1)")
TWO = """net two {
  input image: [1, 12, 12]
  input kind: class[3]
  z1     = image -> conv(4, 3, stride = 2, padding = 1)
  z2     = relu(z1) -> conv(5, 3, dilation = 2, padding = valid)
  scores = relu(z2) -> flat -> dense(3)
  output softmax(scores)
  loss cross_entropy(scores, kind)
}
"""
RESIDUAL = """net residual {
  input image: [2, 6, 6]
  input kind: class[3]
  z      = image -> conv(4, 3, bias = false)
  h      = z -> batchnorm
  a      = relu(h)
  s      = a + (a -> conv(4, 3))
  g      = s -> global_avg_pool
  scores = g -> dense(3)
  output softmax(scores)
  loss cross_entropy(scores, kind)
}
"""
UNITS = """net units {
  input image: [3, 16, 16]
  input kind: class[3]
  stem   = image -> conv(8, 3) -> relu
  stage1 = stem -> stage(8, 4)
  stage2 = stage1 -> stage(16, 6, stride = 2)
  scores = stage2 -> global_avg_pool -> dense(3)
  output softmax(scores)
  loss cross_entropy(scores, kind)
}
block stage(width, count, stride = 1) {
  input x: [c, h, w]
  u = x -> unit(width, stride)
  repeat count - 1 { u = u -> unit(width) }
  output u
}
block unit(width, stride = 1) {
  input x: [c, h, w]
  a = x -> conv(width, 3, stride, bias = false) -> batchnorm -> relu
  b = a -> conv(width, 3, bias = false) -> batchnorm
  s = x                                    when c == width and stride == 1
  s = x -> conv(width, 1, stride)          otherwise
  output relu(b + s)
}
"""
