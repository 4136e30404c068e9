"""Small generative nets that train on embedded data in a moment, for tests."""

from __future__ import annotations

VAE = """\
data small = digits() -> take(200) -> split(0.2, 0.1)
block encoder(latent) {
  input x: [n]
  h = x -> dense(12) -> relu
  output mean = h -> dense(latent), spread = exp(h -> dense(latent))
}
block decoder {
  input z: [k]
  output z -> dense(12) -> relu -> dense(64) -> sigmoid
}
net vae(latent = 2) {
  input image: [64]
  encode = encoder(latent)
  decode = decoder()
  mean, spread = encode(image)
  z = mean + spread * normal([latent])
  output reconstruction = decode(z), sampled = decode(normal([latent]))
  loss sum((reconstruction - image)^2) + 0.5 * sum(mean^2 + spread^2 - 1 - 2 * log(spread))
}
train vae on small {
  optimizer adam(lr = 0.01)
  batch 20
  steps 2
}
"""

GAN = """\
data two = moons(n = 120) -> split(valid = 0.2, test = 0.2)
block generator {
  input z: [k]
  output z -> dense(8) -> relu -> dense(2)
}
block discriminator {
  input x: [2]
  output x -> dense(8) -> relu -> dense(1)
}
net gan {
  input point: [2]
  make = generator()
  judge = discriminator()
  output fake = make(uniform([3]))
  loss judging = sum(softplus(-judge(point)) + softplus(judge(fake)))
  loss making = sum(softplus(-judge(fake)))
}
train gan on two {
  minimize judging over judge with adam(lr = 0.01)
  minimize making over make with adam(lr = 0.01)
  batch 20
  steps 2
}
"""

CONDITIONAL = """\
data small = digits() -> take(100)
block decoder {
  input z: [k]
  input label: [10]
  output concat(z, label) -> dense(12) -> relu -> dense(64)
}
net conditional {
  input image: [64]
  input digit: class[10]
  decode = decoder()
  output sampled = decode(normal([3]), one_hot(digit, 10))
  loss sum((sampled - image)^2)
}
train conditional on small {
  optimizer adam(lr = 0.01)
  batch 20
  steps 2
}
"""

PLAIN = """\
net plain {
  input x: [2]
  input y: class[2]
  hidden = x -> dense(3) -> tanh
  scores = hidden -> dense(2)
  output softmax(scores)
  loss cross_entropy(scores, y)
}
data points = moons(n = 40) -> split(valid = 0.2, test = 0.2)
train plain on points with x = point, y = label {
  optimizer adam(lr = 1e-2)
  batch 8
  steps 2
}
"""

AUTOENCODER = """\
data small = digits() -> take(100)
net autoencoder {
  input image: [64]
  code = image -> dense(3) -> tanh
  output reconstruction = code -> dense(64) -> sigmoid
  loss sum((reconstruction - image)^2)
}
train autoencoder on small {
  optimizer adam(lr = 0.01)
  batch 20
  steps 2
}
"""
