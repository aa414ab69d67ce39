"""Every corruption against the package imagecorruptions, which has ImageNet's constants, with its own random draws."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.corruptions import peer as corruption_peer
from ib_jax import corruptions
from ib_jax.corruptions import blur, drops, elastic, glass, motion, noise
from ib_jax.corruptions.constants import strength
from ib_jax.corruptions.fog import add_fog, plasma
from ib_jax.corruptions.frost import add_frost
from ib_jax.corruptions.snow import add_snow, make_flakes
from ib_jax.corruptions.spatter import add_mud, add_water, pour
from tests.corruptions.pictures import extremes, photographs

if corruption_peer.missing():
    pytest.skip(corruption_peer.missing(), allow_module_level=True)
cv2 = pytest.importorskip("cv2")
peer = corruption_peer.load()

SIZE = 32
IMAGES = np.concatenate([photographs(SIZE, 3), extremes(SIZE)])


def theirs(name, severity, images=IMAGES):
    np.random.seed(severity)  # noqa: NPY002
    return np.stack([corruption_peer.corrupt(image, name, severity) for image in images])


def draws_of(severity, *calls):
    """What the reference draws for each image: a list for each call, of arrays stacked over the images."""
    np.random.seed(severity)  # noqa: NPY002
    return [np.stack(drawn) for drawn in zip(*([call() for call in calls] for _ in IMAGES), strict=True)]


def normal(scale=1.0, loc=0.0, shape=(SIZE, SIZE, 3)):
    return lambda: np.random.normal(size=shape, scale=scale, loc=loc)  # noqa: NPY002


def uniform(low, high, shape=None):
    return lambda: np.random.uniform(low, high, shape)  # noqa: NPY002


def assert_levels(ours, expected, share=0.02, most=1):
    """At most `most` levels apart, and the same but for a share of all values."""
    apart = np.abs(np.asarray(ours).astype(int) - expected.astype(int))
    assert apart.max() <= most
    assert (apart > 0).mean() <= share, (apart > 0).mean()


# float32 against float64, cut off: a value near a whole level may fall on its other side. Doubling saturation
# (severity 3) and a kernel that sums to one (defocus, where an image is all white) make many such values.
SHARES = {"defocus_blur": 0.18, "saturate": 0.12, "pixelate": 0.0, "jpeg_compression": 0.0}
FIXED = (
    "defocus_blur",
    "zoom_blur",
    "brightness",
    "contrast",
    "pixelate",
    "jpeg_compression",
    "gaussian_blur",
    "saturate",
)


@pytest.mark.parametrize("name", FIXED)
@pytest.mark.parametrize(
    "severity", [1, pytest.param(2, marks=pytest.mark.slow), 3, pytest.param(4, marks=pytest.mark.slow), 5]
)
def test_fixed(name, severity):
    keys = jax.random.split(jax.random.key(0), len(IMAGES))
    ours = corruptions.corrupt(keys, jnp.asarray(IMAGES), name=name, severity=severity, constants="imagenet")
    assert_levels(ours, theirs(name, severity), SHARES.get(name, 0.02))


@pytest.mark.parametrize("severity", [1, 5])
def test_noise(severity):
    images, strengths = (
        jnp.asarray(IMAGES),
        [strength(n, severity, "imagenet") for n in ("gaussian_noise", "speckle_noise")],
    )
    (drawn,) = draws_of(severity, normal(strengths[0]))
    assert_levels(noise.add_noise(images, drawn), theirs("gaussian_noise", severity))
    (drawn,) = draws_of(severity, normal(strengths[1]))
    assert_levels(noise.add_noise(images, drawn * IMAGES / 255.0), theirs("speckle_noise", severity))
    photons = strength("shot_noise", severity, "imagenet")
    np.random.seed(severity)  # noqa: NPY002
    counts = np.stack([np.random.poisson(image / 255.0 * photons) for image in IMAGES])  # noqa: NPY002
    assert_levels(noise.count_to_levels(counts, photons), theirs("shot_noise", severity), share=0)


def test_impulse_noise(monkeypatch):
    """scikit-image draws from a generator that it seeds itself."""
    drawn = np.random.default_rng(0).uniform(size=(2, SIZE, SIZE, 3))
    amount = strength("impulse_noise", 4, "imagenet")
    import skimage.util.noise as module

    class Generator:
        def __init__(self):
            self.draws = iter(drawn)

        def random(self, shape):
            return next(self.draws)

    monkeypatch.setattr(module.np.random, "default_rng", lambda seed=None: Generator())
    expected = corruption_peer.corrupt(IMAGES[0], "impulse_noise", 4)
    changed, salted = drawn[0] <= amount, drawn[1] <= 0.5
    ours = noise.salt_and_pepper(jnp.asarray(IMAGES[:1]), jnp.asarray(changed), jnp.asarray(salted))
    np.testing.assert_array_equal(ours[0], expected)
    assert 0.1 < (np.asarray(ours[0]) != IMAGES[0]).mean() < 0.2


@pytest.mark.parametrize("severity", [1, 3, 5])
def test_motion_blur(severity):
    """At severity 5 the last copies leave the image."""
    radius, sigma = strength("motion_blur", severity, "imagenet")
    (angles,) = draws_of(severity, uniform(-45, 45))
    ours = motion.blur_along(jnp.asarray(IMAGES, jnp.float32), jnp.asarray(angles), radius, sigma)
    assert_levels(motion.cut_levels(ours), theirs("motion_blur", severity))


@pytest.mark.parametrize("severity", [1, 3, 5])
def test_glass_blur(severity):
    sigma, reach, rounds = strength("glass_blur", severity, "imagenet")
    side = SIZE - 2 * reach
    np.random.seed(severity)  # noqa: NPY002
    moves = np.array([np.random.randint(-reach, reach, size=2) for _ in range(2 * rounds * side**2)])  # noqa: NPY002
    # They are drawn (columns, rows), from the last row and column to the first.
    moves = moves.reshape(2, rounds, side, side, 2)[:, :, ::-1, ::-1, ::-1]
    smooth = glass.separable.gaussian((SIZE, SIZE), sigma)

    @jax.jit
    def apply(images, moves):
        blurred = glass.to_levels(glass.separable.apply(smooth, glass.to_unit(images)))
        moved = glass.shuffle_nearby(blurred, moves, reach)
        return glass.to_levels(glass.separable.apply(smooth, glass.to_unit(moved)))

    # A clear sky stays at whole levels, where the two precisions may part; there are two cuts.
    expected = theirs("glass_blur", severity, IMAGES[:2])
    assert_levels(apply(jnp.asarray(IMAGES[:2]), jnp.asarray(moves)), expected, share=0.04)


@pytest.mark.parametrize("severity", [1, 4])
def test_fog(severity):
    amount, decay = strength("fog", severity, "imagenet")
    np.random.seed(severity)  # noqa: NPY002
    fields = np.stack([peer.plasma_fractal(SIZE, decay) for _ in IMAGES])
    assert_levels(add_fog(jnp.asarray(IMAGES), jnp.asarray(fields), amount), theirs("fog", severity))

    sizes = [2**level for level in range(5)]
    drawn = draws_of(severity, *(uniform(-1, 1, (s, s)) for s in sizes for _ in range(3)))
    flat = np.concatenate([each.reshape(len(IMAGES), -1) for each in drawn], 1)
    np.testing.assert_allclose(plasma(jnp.asarray(flat, jnp.float32), decay), fields, atol=1e-6)


@pytest.mark.parametrize("severity", [1, 5])
def test_frost(severity):
    np.random.seed(severity)  # noqa: NPY002
    pieces = []
    for _ in range(3):
        which = np.random.randint(5)  # noqa: NPY002
        suffix = ("1.png", "2.png", "3.png", "4.jpg", "5.jpg")[which]
        picture = cv2.imread(peer.resource_filename("imagecorruptions", f"frost/frost{suffix}"))
        size = tuple(int(np.ceil(side * 1.1)) for side in picture.shape[1::-1])
        picture = cv2.resize(picture, size, interpolation=cv2.INTER_CUBIC)
        top, left = np.random.randint(0, picture.shape[0] - SIZE), np.random.randint(0, picture.shape[1] - SIZE)  # noqa: NPY002
        pieces.append(picture[top : top + SIZE, left : left + SIZE, ::-1])
    shares = strength("frost", severity, "imagenet")
    ours = add_frost(jnp.asarray(IMAGES[:3]), jnp.asarray(np.stack(pieces)), *shares)
    assert_levels(ours, theirs("frost", severity, IMAGES[:3]))


@pytest.mark.parametrize("severity", [1, 3, 5])
def test_snow(severity, monkeypatch):
    """The benchmark trims the zoomed layer on all sides and cuts it to levels before the blur; the package does not."""
    mean, spread, factor, threshold, radius, sigma, left = strength("snow", severity, "imagenet")
    drawn, angles = draws_of(severity, normal(spread, mean, (SIZE, SIZE)), uniform(-135, -45))
    zoom, motion_blur = peer.clipped_zoom, peer._motion_blur

    def trimmed(layer, factor):
        zoomed = zoom(layer, factor)
        first = (len(zoomed) - SIZE) // 2
        return zoomed[first : first + SIZE, first : first + SIZE]

    monkeypatch.setattr(peer, "clipped_zoom", trimmed)
    monkeypatch.setattr(peer, "_motion_blur", lambda layer, **how: motion_blur(np.uint8(layer * 255) / 255.0, **how))
    flakes = make_flakes(jnp.asarray(drawn, jnp.float32), factor, threshold)
    layer = motion.blur_along(flakes, jnp.asarray(angles), radius, sigma)
    assert_levels(add_snow(jnp.asarray(IMAGES), layer, left), theirs("snow", severity), share=0.01, most=2)


def test_elastic_transform():
    """The package has no affine map, and other constants; what it does with them is the same."""
    severity, factor = 3, 250 * 0.085
    field = uniform(-SIZE * 0.005, SIZE * 0.005, (SIZE, SIZE))
    moves = np.stack(draws_of(severity, field, field), -1)
    smooth = elastic.separable.gaussian((SIZE, SIZE), SIZE * 0.01, "reflect", 3.0)
    field = factor * elastic.separable.apply(smooth, jnp.asarray(moves, jnp.float32))
    ours = elastic.to_levels(elastic.displace(elastic.to_unit(jnp.asarray(IMAGES)), field))
    assert_levels(ours, theirs("elastic_transform", severity))


def test_affine_map_of_opencv():
    rng = np.random.default_rng(0)
    height, width, moves = 40, 32, rng.uniform(-3, 3, (4, 3, 2)).astype(np.float32)
    images = rng.uniform(size=(4, height, width, 3)).astype(np.float32)
    ours = elastic.apply_affine(jnp.asarray(images), elastic.affine_maps((height, width), jnp.asarray(moves)))
    middle, reach = np.float32((height, width)) // 2, min(height, width) // 3
    points = np.float32([middle + reach, [middle[0] + reach, middle[1] - reach], middle - reach])
    for image, move, our in zip(images, moves, ours, strict=True):
        matrix = cv2.getAffineTransform(points, points + move)
        expected = cv2.warpAffine(image, matrix, (width, height), borderMode=cv2.BORDER_REFLECT_101)
        before_5 = int(cv2.__version__.split(".")[0]) < 5  # rounds to a 32nd of a pixel
        np.testing.assert_allclose(our, expected, atol=0.04 if before_5 else 2e-4)


@pytest.mark.parametrize("severity", [1, 3, 4, 5])
def test_spatter(severity):
    mean, spread, sigma, threshold, last, is_mud = strength("spatter", severity, "imagenet")
    (drawn,) = draws_of(severity, normal(spread, mean, (SIZE, SIZE)))
    liquid = pour(jnp.asarray(drawn, jnp.float32), sigma, threshold)
    apply = jax.jit(
        lambda images, liquid: add_mud(images, liquid, threshold, last) if is_mud else add_water(images, liquid, last)
    )
    some = np.asarray(liquid).max((1, 2)) > 0  # without any drop the package divides zero by zero
    with np.errstate(invalid="ignore"):
        expected = theirs("spatter", severity)
    assert some.any()
    assert_levels(apply(jnp.asarray(IMAGES), liquid)[some], expected[some])


def test_relief_of_drops_is_opencvs():
    rng = np.random.default_rng(0)
    smooth = np.stack(
        [cv2.GaussianBlur(rng.integers(0, 256, (48, 40)).astype(np.uint8), (0, 0), s) for s in (1.0, 2.0, 4.0)]
    )
    smooth = (smooth.astype(int) - smooth.min((1, 2), keepdims=True)) * 3 % 256
    levels = np.where(smooth < 90, 0, smooth).astype(np.uint8)
    found = np.asarray(jax.jit(drops.edges)(jnp.asarray(levels, jnp.int32)))
    expected = np.stack([cv2.Canny(image, 50, 150) > 0 for image in levels])
    assert 0.02 < expected.mean() < 0.5
    np.testing.assert_array_equal(found, expected)
    inverse = [np.where(image, 0, 255).astype(np.uint8) for image in expected]
    far = np.stack([cv2.distanceTransform(image, cv2.DIST_L2, 5) for image in inverse])
    np.testing.assert_allclose(drops.distances(jnp.asarray(expected)) / 2**16, np.minimum(far, 20), atol=2e-4)
    ramp = rng.integers(3, 20, (2, 9, 9)).astype(np.uint8)
    ramp[1] = 7
    equal = np.stack([cv2.equalizeHist(image) for image in ramp])
    np.testing.assert_array_equal(drops.equalise(jnp.asarray(ramp, jnp.int32)), equal)


@pytest.mark.parametrize("radius, smoothing", list(itertools.product((0.3, 1.5, 3, 8, 10), (0.1, 0.6))))
def test_disk(radius, smoothing):
    np.testing.assert_allclose(blur.disk(radius, smoothing), peer.disk(radius, smoothing), atol=1e-7)
