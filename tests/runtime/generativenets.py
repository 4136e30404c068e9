"""Tiny generative nets of every kind, as `.net` text: what the large examples are made of."""

from __future__ import annotations

VAE = """
net vae {
  input image: [6]
  h = image -> dense(5) -> relu
  mu = h -> dense(2)
  log_variance = h -> dense(2)
  D = decoder(7)
  p = D(mu + exp(log_variance / 2) * normal([2]))
  kl = kl_normal(mu, log_variance)
  log_likelihood = sum(image * log(p) + (1 - image) * log(1 - p))
  output reconstruction = p, sampled = D(normal([2]))
  loss negative_elbo = kl - log_likelihood
  metric kl = kl
}
block decoder(units) {
  input z: [n]
  output z -> dense(units) -> relu -> dense(6) -> sigmoid
}
train vae on digits() {
  optimizer adam(lr = 0.01)
  batch 3
}
"""

LOSSES = """
  fake     = G(normal([3]))
  of_image = D(image)
  of_fake  = D(fake)
  output fake
  loss d_loss = mean(softplus(-of_image)) + mean(softplus(of_fake))
  loss g_loss = mean(softplus(-of_fake))
  metric d_fake = mean(sigmoid(of_fake))
}
train gan on digits() {
  minimize d_loss over D with adam(lr = 0.01, beta1 = 0.5)
  minimize g_loss over G with adam(lr = 0.02, beta1 = 0.5)
  batch 3
}
"""

GAN = f"""
block generator(units) {{
  input z: [n]
  output z -> dense(units, bias = false) -> batchnorm -> leaky_relu(0.2) -> dense(6) -> sigmoid
}}
block discriminator(units) {{
  input x: [n]
  output x -> dense(units) -> leaky_relu(0.2) -> dropout(0.3) -> dense(1)
}}
net gan {{
  input image: [6]
  G = generator(5)
  D = discriminator(4)
{LOSSES}"""

DCGAN = f"""
block generator(width) {{
  input z: [n]
  a = z -> dense(4 * width, bias = false) -> reshape([width, 2, 2]) -> batchnorm -> relu
  output a -> conv_transpose(2, 4, stride = 2, padding = 1) -> tanh
}}
block discriminator(width) {{
  input x: [c, h, w]
  a = x -> conv(width, 4, stride = 2, padding = 1, bias = false) -> batchnorm -> leaky_relu(0.2)
  output a -> flat -> dense(1)
}}
net gan {{
  input image: [2, 4, 4]
  G = generator(3)
  D = discriminator(3)
{LOSSES}"""

WGAN = """
block critic(units) {
  input x: [n]
  score = x -> dense(units) -> leaky_relu(0.2) -> dense(1, bias = false)
  output score[0]
}
net wgan {
  input image: [5]
  G = mlp([4, 5], last = sigmoid)
  D = critic(4)
  fake     = G(normal([3]))
  epsilon  = uniform([])
  between  = epsilon * image + (1 - epsilon) * fake
  slope    = grad(D(between), between)
  distance = D(image) - D(fake)
  output fake
  loss critic_loss = 10 * (sqrt(sum(slope^2) + 1e-12) - 1)^2 - distance
  loss generator_loss = -D(fake)
  metric distance = distance
}
train wgan on digits() {
  repeat 2 minimize critic_loss over D with adam(lr = 0.01, beta1 = 0.5, beta2 = 0.9)
  minimize generator_loss over G with adam(lr = 0.01, beta1 = 0.5, beta2 = 0.9)
  batch 3
}
"""

DRAWS = """
net draws {
  input image: [6]
  scores = image -> dense(4)
  kind = categorical(scores = scores)
  bits = bernoulli(sigmoid(image -> dense(3)))
  spread = uniform([4], -0.5, 2)
  code = (one_hot(kind) + spread) * scores
  p = concat(code, bits) -> dense(6) -> sigmoid
  output p
  loss mean((p - image)^2) + 0.1 * mean(normal(code, 0.5)^2)
}
train draws on digits() {
  optimizer rmsprop(lr = 0.01)
  batch 3
}
"""

FROZEN = """
block features(units) {
  input x: [c, h, w]
  output x -> conv(units, 3) -> batchnorm -> relu -> dropout(0.3) -> flat
}
net tuned {
  input image: [1, 4, 4]
  input label: class[3]
  f = image -> features(2)
  head = f -> dense(4) -> tanh -> dense(3)
  output softmax(head)
  loss cross_entropy(head, label)
}
train tuned on digits() {
  freeze f
  optimizer momentum(lr = 0.1)
  optimizer adam(lr = 0.01) for head.*
  batch 3
}
"""

GENERATIVE = {
    "vae": VAE, "gan": GAN, "dcgan": DCGAN, "wgan": WGAN, "draws": DRAWS, "frozen": FROZEN,
}  # fmt: skip
