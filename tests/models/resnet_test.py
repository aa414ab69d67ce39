"""Residual networks: published sizes, forward passes against NumPy and torchvision, training without normalisation."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ib_jax import models, promotion

RNG = np.random.default_rng(0)


def sizes(encoder, side, num_classes):
    """Parameters that are learned, and statistics that are not."""
    model = models.make_classifier(encoder, num_classes=num_classes)
    shapes = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, side, side, 3)))
    count = lambda *names: sum(leaf.size for name in names for leaf in jax.tree.leaves(shapes.get(name, {})))
    return count("encoder", "decoder"), count("batch_stats")


@pytest.mark.parametrize(
    ("encoder", "side", "num_classes", "published"),
    [
        # Zagoruyko and Komodakis (2016) print 36.5 M and 0.7 M; their code counts to these.
        (models.WideResNetEncoder(28, 10, norm="batch", scale="zero"), 32, 10, 36_479_194),
        (models.WideResNetEncoder(16, 2, norm="batch", scale="zero"), 32, 10, 691_674),
        # torchvision's resnet50, resnet101 and resnet152
        (models.ResNetEncoder(50, scale="zero"), 224, 1000, 25_557_032),
        (models.ResNetEncoder(101, scale="zero"), 224, 1000, 44_549_160),
        (models.ResNetEncoder(152, scale="zero"), 224, 1000, 60_192_808),
    ],
)
def test_sizes_are_the_published_ones(encoder, side, num_classes, published):
    assert sizes(encoder, side, num_classes)[0] == published


def test_twice_the_width_is_twice_the_channels():
    narrow, wide = (sizes(models.ResNetEncoder(152, width, scale="zero"), 224, 1000) for width in (1, 2))
    assert wide == (236_350_568, 302_848)
    assert narrow[1] * 2 == wide[1]
    assert models.ResNetEncoder(152, 2).code_dim == 4096


@pytest.mark.parametrize("norm", ["none", "batch"])
def test_the_codes_are_pooled_features_or_a_layer_on_them(norm):
    images = jnp.asarray(RNG.uniform(size=(2, 16, 16, 3)), jnp.float32)
    shape = lambda **kwargs: jax.eval_shape(
        models.WideResNetEncoder(10, 2, norm=norm, **kwargs).init_with_output, jax.random.key(0), images
    )[0]
    assert shape().mean.shape == (2, 128)
    assert shape(latent_dim=7, scale="learned").scale.shape == (2, 7)
    with pytest.raises(ValueError, match="latent_dim must be positive for a learned scale"):
        shape(scale="learned")


def perturbed(encoder, images):
    """Variables of which none is zero or one, so that each has to be in its place."""
    variables = encoder.init(jax.random.key(1), images)
    noise = lambda leaf: leaf + jnp.asarray(0.1 * RNG.uniform(size=leaf.shape), leaf.dtype)
    return jax.tree.map(noise, variables)


def conv(images, kernel, stride=1):
    """Cross-correlation with zeros outside, as XLA's SAME: for even sides and stride 2 it pads at the end alone."""
    side, size = images.shape[1], kernel.shape[0]
    total = max((-(-side // stride) - 1) * stride + size - side, 0)
    pad = (total // 2, total - total // 2)
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(images, [(0, 0), pad, pad, (0, 0)]), (size, size), (1, 2))
    return np.einsum("bijcxy,xyco->bijo", windows[:, ::stride, ::stride], kernel, optimize=True)


def naive_wide_resnet(variables, images):
    params, statistics = (jax.tree.map(np.float64, variables.get(name, {})) for name in ("params", "batch_stats"))

    def normalised(hidden, path):
        own, moved = params, statistics
        for name in path:
            own, moved = own[name], moved.get(name, {})
        if "bias" in own:
            return hidden + own["bias"]
        own, moved = own["BatchNorm_0"], moved["BatchNorm_0"]
        return (hidden - moved["mean"]) / np.sqrt(moved["var"] + 1e-5) * own["scale"] + own["bias"]

    hidden = conv(2.0 * np.float64(images) - 1.0, params["Conv_0"]["kernel"])
    for index, stride in enumerate((1, 2, 2)):
        name = f"_Block_{index}"
        block = params[name]
        inner = np.maximum(normalised(hidden, (name, "Normalise_0")), 0.0)
        shortcut = conv(inner, block["shortcut"]["kernel"], stride) if "shortcut" in block else hidden
        inner = conv(inner, block["Conv_0"]["kernel"], stride)
        inner = conv(np.maximum(normalised(inner, (name, "Normalise_1")), 0.0), block["Conv_1"]["kernel"])
        hidden = shortcut + inner * block.get("factor", 1.0)
    return np.maximum(normalised(hidden, ("Normalise_0",)), 0.0).mean((1, 2))


@pytest.mark.parametrize(("norm", "width"), [("none", 1), ("batch", 2)])
def test_wide_resnet_equals_numpy(norm, width):
    images = jnp.asarray(RNG.uniform(size=(2, 8, 8, 3)), jnp.float32)
    encoder = models.WideResNetEncoder(10, width, norm=norm)
    variables = perturbed(encoder, images)
    found = jax.jit(encoder.apply)(variables, images)
    np.testing.assert_allclose(found.mean, naive_wide_resnet(variables, images), rtol=2e-4, atol=2e-4)
    np.testing.assert_array_equal(found.scale, 1.0)


@pytest.mark.slow
def test_resnet_50_equals_torchvision():
    torch, torchvision = pytest.importorskip("torch"), pytest.importorskip("torchvision")
    images = jnp.asarray(RNG.uniform(size=(2, 64, 64, 3)), jnp.float32)
    encoder = models.ResNetEncoder(50)
    variables = perturbed(encoder, images)
    peer = torchvision.models.resnet50(weights=None).eval()
    peer.fc = torch.nn.Identity()
    params, statistics = variables["params"], variables["batch_stats"]

    def set_conv(module, own):
        module.weight.data = torch.tensor(np.asarray(own["kernel"]).transpose(3, 2, 0, 1))

    def set_norm(module, *path):
        own, moved = params, statistics
        for name in (*path, "BatchNorm_0"):
            own, moved = own[name], moved[name]
        for attribute, value in [("weight", own["scale"]), ("bias", own["bias"])]:
            getattr(module, attribute).data = torch.tensor(np.asarray(value))
        module.running_mean.data, module.running_var.data = (
            torch.tensor(np.asarray(moved[n])) for n in ("mean", "var")
        )

    set_conv(peer.conv1, params["Conv_0"])
    set_norm(peer.bn1, "Normalise_0")
    blocks = [block for layer in (peer.layer1, peer.layer2, peer.layer3, peer.layer4) for block in layer]
    for index, block in enumerate(blocks):
        name = f"_Block_{index}"
        for which, (module, norm) in enumerate(
            [(block.conv1, block.bn1), (block.conv2, block.bn2), (block.conv3, block.bn3)]
        ):
            set_conv(module, params[name][f"Conv_{which}"])
            set_norm(norm, name, f"Normalise_{which}")
        if block.downsample is not None:
            set_conv(block.downsample[0], params[name]["shortcut"])
            set_norm(block.downsample[1], name, "Normalise_3")
    mean, scale = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    whitened = torch.tensor(((np.asarray(images) - mean) / scale).astype(np.float32).transpose(0, 3, 1, 2))
    with torch.no_grad():
        wanted = peer(whitened).numpy()
    found = np.asarray(jax.jit(encoder.apply)(variables, images).mean)
    np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-3 * np.abs(wanted).max())


def test_without_normalisation_it_neither_explodes_nor_fades_and_learns():
    """Depth 40: the codes are of the size of those of depth 10, and a few steps of plain Adam lower the loss."""
    images = jnp.asarray(RNG.uniform(size=(16, 8, 8, 3)), jnp.float32)
    labels = jnp.arange(16) % 2
    shallow, deep = (models.WideResNetEncoder(depth, 1, scale="zero") for depth in (10, 40))
    spread = [float(jnp.std(each.init_with_output(jax.random.key(2), images)[0].mean)) for each in (shallow, deep)]
    assert 0.5 < spread[1] / spread[0] < 2.0
    model = models.make_classifier(shallow, num_classes=2)
    params = model.init(jax.random.key(0), images)
    optimizer = optax.adam(1e-2)

    def loss_fn(params):
        logits = model.decode(params, model.encode(params, images).mean)
        return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()

    @jax.jit
    def step(params, state):
        loss, slope = jax.value_and_grad(loss_fn)(params)
        with promotion.of_others():
            updates, state = optimizer.update(slope, state)
        return optax.apply_updates(params, updates), state, loss

    state, losses = optimizer.init(params), []
    for _ in range(30):
        params, state, loss = step(params, state)
        losses.append(float(loss))
    assert losses[-1] < 0.5 * losses[0]


def test_bfloat16_computes_in_it_and_answers_in_float32():
    images = jnp.asarray(RNG.uniform(size=(2, 8, 8, 3)), jnp.float32)
    encoder = models.WideResNetEncoder(10, 1, norm="batch", compute_dtype=jnp.bfloat16)
    variables = jax.eval_shape(encoder.init, jax.random.key(0), images)
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype("float32")}
    jaxpr = str(
        jax.make_jaxpr(lambda v, x: encoder.apply(v, x, train=True, mutable=["batch_stats"]))(variables, images)
    )
    products = [line for line in jaxpr.splitlines() if " = conv_general_dilated[" in line]
    assert len(products) == 9
    assert all(":bf16[" in line for line in products)
    assert jax.eval_shape(encoder.apply, variables, images).mean.dtype == jnp.float32


@pytest.mark.parametrize(
    ("encoder", "message"),
    [
        (models.WideResNetEncoder(12), "depth must be 6 n \\+ 4"),
        (models.WideResNetEncoder(10, 0), "width must be at least 1, got 0"),
        (models.WideResNetEncoder(10, norm="layer"), "norm must be one of none, batch, got 'layer'"),
        (models.ResNetEncoder(34), "depth must be one of 50, 101, 152, got 34"),
        (models.ResNetEncoder(50, 0.001), "width must be at least 1 / 64"),
    ],
)
def test_bad_networks_are_refused(encoder, message):
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(encoder.init, jax.random.key(0), jnp.zeros((1, 32, 32, 3)))
