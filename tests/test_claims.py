"""Verdicts follow from numbers by their rules, and only where several seeds tell them from chance."""

from __future__ import annotations

from pathlib import Path

import pytest

from colorcapsnet import claims
from colorcapsnet.claims import FAILS, HOLDS, UNTESTED, Found
from tests import paper_results as made


def found(results=None, **changes):
    return Found(Path("nowhere"), made.plan(**changes), made.everything() if results is None else results, {})


def verdict(text, results=None, **changes):
    (claim,) = (claim for claim in claims.CLAIMS if text in claim.text)
    return claim.judge(found(results, **changes))


def with_losses(experiment, **losses):
    rows = [made.variant(label, *last) for label, last in losses.items()]
    return {experiment: made.comparison(*rows)}


@pytest.mark.parametrize(
    ("one", "other", "side"),
    [
        ([1, 2], [3, 4], -1),
        ([3, 4], [1, 2], 1),
        ([1, 3], [2, 4], 0),
        ([1, 2], [2, 3], 0),
        ([1, 4], [2, 3], 0),
    ],
)
def test_two_sides_are_apart_when_every_seed_of_one_is_beyond_every_seed_of_the_other(one, other, side):
    assert claims.apart(one, other) == side


@pytest.mark.parametrize(
    ("ours", "said"),
    [
        ([0.001, 0.002], HOLDS),
        ([0.007, 0.008], FAILS),
        ([0.001, 0.0045], UNTESTED),
        ([0.001], UNTESTED),
    ],
)
def test_a_lower_loss_is_claimed_only_beyond_the_spread(ours, said):
    results = with_losses("figure-4c", **{"9×9": ours, "16×16": [0.004, 0.005], "32×32": [0.004, 0.006]})
    assert verdict("patches of 9×9", results).said == said


def test_one_of_two_others_that_is_beaten_is_not_enough():
    assert verdict("patches of 9×9").said == UNTESTED
    assert verdict("patches of 9×9").why == "inside the spread of seeds"


def test_what_needs_vggs_weights_cannot_be_tested_without_them():
    told = verdict("the front with VGG-19's weights")
    assert (told.said, told.why) == (UNTESTED, "VGG front, VGG-19's weights: weights not given")


def test_the_stand_in_has_claims_of_its_own():
    assert verdict("(stand-in) so does one").said == HOLDS
    assert verdict("not the layers alone").said == HOLDS


def test_batch_norm_is_compared_with_the_front_that_began_alike():
    assert "VGG front, random" in verdict("batch norm lowers").measured
    results = with_losses(
        "figure-4a", **{"VGG front, VGG-19's weights": [0.002, 0.003], "with batch norm": [0.004, 0.005]}
    )
    results["figure-4a"]["variants"][1]["begins"] = "vgg"
    told = verdict("batch norm lowers", results)
    assert told.said == FAILS
    assert "VGG-19's weights" in told.measured


@pytest.mark.parametrize(("two", "said"), [([0.004, 0.005], HOLDS), ([0.001, 0.002], FAILS), ([0.002, 0.0045], HOLDS)])
def test_one_routing_is_enough_unless_more_are_beyond_its_spread(two, said):
    results = with_losses("figure-4b", **{"1 routing": [0.004, 0.005], "2 routings": two})
    assert verdict("one routing is enough", results).said == said


def test_more_routings_cost_time_if_every_measurement_says_so():
    assert verdict("more routings cost time").said == HOLDS
    results = made.everything()
    results["figure-4b"]["variants"][-1]["step_seconds"] = [0.011, 0.9]
    assert verdict("more routings cost time", results).said == UNTESTED


@pytest.mark.parametrize(("count", "said"), [(-728_256, HOLDS), (-720_000, HOLDS), (-740_000, FAILS), (728_256, FAILS)])
def test_a_count_may_be_off_by_what_approximately_means(count, said):
    results = {"parameters": made.parameters() | {"front": count}}
    assert verdict("720,000 parameters", results).said == said


def test_a_patch_smaller_than_published_would_refute_the_lower_bound():
    assert verdict("smallest possible").said == HOLDS
    assert verdict("smallest possible", {"parameters": made.parameters() | {"smallest_patch": 8}}).said == FAILS


def test_losses_must_fall_from_step_to_step():
    assert verdict("lower training loss than the one before").said == HOLDS
    results = {"chain": made.chain()}
    results["chain"]["steps"][2]["epochs"][-1]["loss"] = 0.1
    assert verdict("lower training loss than the one before", results).said == FAILS


def test_pictures_must_all_get_better():
    assert verdict("grow with the epochs").said == HOLDS
    results = {"chain": made.chain()}
    results["chain"]["steps"][1]["epochs"][-1]["pictures"]["a.jpg"]["ssim"] = 0.1
    told = verdict("grow with the epochs", results)
    assert told.said == FAILS
    assert "PSNR of 2 and SSIM of 1 of 2 pictures" in told.measured


def test_published_scores_are_compared_only_on_published_pictures():
    assert (verdict("22.20 dB").said, verdict("22.20 dB").why) == (UNTESTED, "other pictures")
    assert verdict("21.08 dB").why == "no test pictures"


@pytest.mark.parametrize(
    ("psnr", "ssim", "said"), [(22.3, 0.881, HOLDS), (22.3, 0.95, FAILS), (25.0, 0.88, FAILS), (22.702, 0.894, HOLDS)]
)
def test_on_published_pictures_the_published_score_must_lie_in_the_interval(psnr, ssim, said):
    results = {"table-1": made.table_1()}
    row = results["table-1"]["validation"]["summary"]["step 2, as published"]
    row.update(psnr=made.interval(psnr), ssim=made.interval(ssim, 0.01))
    chain = ["paper-1-ilsvrc", "paper-2-div2k", "paper-3-div2k-val"]
    assert verdict("22.20 dB", results, chain=chain).said == said


@pytest.mark.parametrize(("psnr", "said"), [(24.0, HOLDS), (23.2, UNTESTED), (22.2, FAILS)])
def test_promising_is_better_than_gray_and_than_one_tint(psnr, said):
    results = {"table-1": made.table_1()}
    results["table-1"]["validation"]["summary"]["shipped, as published"] = made.summary(psnr)
    assert verdict("promising", results).said == said


@pytest.mark.parametrize("claim", claims.CLAIMS, ids=[claim.text for claim in claims.CLAIMS])
def test_nothing_is_said_of_what_was_not_run(claim):
    told = claim.judge(found({}))
    assert (told.measured, told.said) == ("–", UNTESTED)
    assert told.why
