"""The classes of ImageNet-A against the numbers in its authors' own evaluation."""

import numpy as np
import pytest

from ib_jax import data

# The classes kept by eval.py of github.com/hendrycks/natural-adv-examples, in its numbering of ImageNet.
AUTHORS = """
6 11 13 15 17 22 23 27 30 37 39 42 47 50 57 70 71 76 79 89 90 94 96 97 99
105 107 108 110 113 124 125 130 132 143 144 150 151 207 234 235 254 277 283 287 291 295 298 301 306
307 308 309 310 311 313 314 315 317 319 323 324 326 327 330 334 335 336 347 361 363 372 378 386 397
400 401 402 404 407 411 416 417 420 425 428 430 437 438 445 456 457 461 462 470 472 483 486 488 492
496 514 516 528 530 539 542 543 549 552 557 561 562 569 572 573 575 579 589 606 607 609 614 626 627
640 641 642 643 658 668 677 682 684 687 701 704 719 736 746 749 752 758 763 765 768 773 774 776 779
780 786 792 797 802 803 804 813 815 820 823 831 833 835 839 845 847 850 859 862 870 879 880 888 890
897 900 907 913 924 932 933 934 937 943 945 947 951 954 956 957 959 971 972 980 981 984 986 987 988
"""


def test_they_are_the_authors():
    classes = data.imagenet_a_classes()
    assert classes.tolist() == [int(number) for number in AUTHORS.split()]
    assert classes.dtype == np.int32
    assert len(set(classes.tolist())) == 200


def test_the_label_of_a_prepared_record_is_such_a_number(make_imagenet_copy, make_photo, encode_image, tmp_path):
    import tensorflow_datasets as tfds

    # By the WordNet id, as the official builder hands it over: goldfish is not among them, stingray and acorn are.
    file = encode_image(make_photo(np.random.default_rng(0), 20, 20))
    wnids = ["n01443537", "n01498041", "n12267677"]
    make_imagenet_copy(tmp_path, "imagenet_a", {"test": [(f"{wnid}.jpg", wnid, file) for wnid in wnids]})
    records = tfds.data_source("imagenet_a", split="test", data_dir=tmp_path)
    labels = {record["file_name"].decode()[:9]: record["label"] for record in records}
    assert labels == {"n01443537": 1, "n01498041": 6, "n12267677": 988}
    assert np.isin([1, 6, 988], data.imagenet_a_classes()).tolist() == [False, True, True]


def test_nobody_can_change_them():
    with pytest.raises(ValueError, match="read-only"):
        data.imagenet_a_classes()[0] = 7
