"""What is wrong with pairs of input and truth: the wrong truth, at the wrong place, of another scale.

Pairs are judged one by one where that is sure, so that a few bad ones are found among good ones, and all together where
noise leaves little of each.
"""

import math
from collections.abc import Iterator, Sequence

import numpy as np

from aeanet_tf.reports.agreement import PairLook, correlations, farthest, look_at
from aeanet_tf.reports.facts import Example, Finding

# Pixels that input and truth may be apart: registration is rarely better.
_APART = 1.5
# Pixels by which pairs may differ in that.
_SPREAD = 2.0
# What a correlation has to gain by a shift, or what share of its rest may be left; what structures have in common.
_GAIN, _LEFT, _ALIKE = 0.05, 0.7, 0.2
# A correlation that is no chance, and what another truth has to fit better by.
_SURE, _MORE = 0.6, 0.3
# Standard deviation of what may be left between two images that are the same, as a share of an image's.
_SAME = 0.02
# Share of other truths that the own one has to fit better than, where its correlation is weak and where it is not.
_WEAK_SHARE, _SHARE, _ENOUGH = 0.9, 0.6, 4
_NONE, _WEAK = 0.1, 0.5
# Pixels of a side below which a pair is not judged by itself.
_SIDE = 48
# A truth of less contrast, of the median's, may be empty, and fits nothing.
_EMPTY = 0.5
_SCALE = 2.0
_MOST_NAMED = 3
_TURNS = {
    "mirrored along X": lambda image: image[..., ::-1],
    "mirrored along Y": lambda image: image[..., ::-1, :],
    "turned by 180 degrees": lambda image: image[..., ::-1, ::-1],
    "turned by 90 degrees": lambda image: np.rot90(image, 1, (-2, -1)),
    "turned by 270 degrees": lambda image: np.rot90(image, 3, (-2, -1)),
    "mirrored at the diagonal (X and Y exchanged)": lambda image: image.swapaxes(-2, -1),
    "mirrored at the other diagonal": lambda image: np.rot90(image, 2, (-2, -1)).swapaxes(-2, -1),
}


def of_truths(pairs: Sequence[Example]) -> Iterator[Finding]:
    """What is wrong with the truths of a restoration."""
    yield from flat_truths(pairs)
    looks = [look_at(pair) for pair in pairs if np.ptp(pair.truth) > 0 and np.ptp(pair.flat_input) > 0]
    same = [look for look in looks if look.rest < _SAME]
    if same:
        yield _same(same, len(pairs))
    looks = _without(looks, same)
    fits = correlations(looks)
    found = _all_shifted(looks) or _all_turned(looks) or _all_different(looks, fits)
    if found:
        yield found
        return
    different = _different(looks, fits)
    if different:
        yield _strange(different, looks, fits, len(pairs))
    looks = _without(looks, different)
    shifted = [look for look in looks if _surely_shifted(look)]
    if shifted:
        yield _shift(shifted, len(pairs))
    yield from _of_scales(_without(looks, shifted))


def flat_truths(pairs: Sequence[Example]) -> Iterator[Finding]:
    """Truths that are constant."""
    flat = [pair.name for pair in pairs if np.ptp(pair.truth) == 0]
    if flat:
        yield Finding(
            "Ground truth without contrast",
            f"In {len(flat)} of {len(pairs)} pairs looked at the ground truth is constant: {named(flat)}. There is "
            "nothing to learn from these.",
        )


def named(names: Sequence[str]) -> str:
    """The first names, and how many more there are."""
    names = list(dict.fromkeys(names))
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return ", ".join(names[:_MOST_NAMED]) + more


def _without(looks, others):
    names = {id(look) for look in others}
    return [look for look in looks if id(look) not in names]


def _of(looks):
    return named([look.name for look in looks])


def _same(looks, count):
    equals = "equals the input" if max(look.rest for look in looks) < 1e-4 else "is the input, or nearly so"
    return Finding(
        "Input and ground truth are the same",
        f"In {len(looks)} of {count} pairs looked at the ground truth {equals}: {_of(looks)}. The network learns to "
        "change nothing. Are the folders the right ones?",
    )


def _all_shifted(looks):
    """The finding that most pairs are shifted alike, or nothing; how strong their correlation is does not matter."""
    if not looks:
        return None
    groups = [[look for look in looks if look.truth.ndim == n] for n in (2, 3)]
    looks = max(groups, key=len)
    shift = np.median([look.agreement.shift for look in looks], axis=0)
    # Of images that show different things the best places are anywhere.
    agreeing = [look for look in looks if np.abs(look.agreement.shift - shift).max() <= _SPREAD]
    if len(agreeing) <= len(looks) / 2 or not _away(shift):
        return None
    before, after = _medians(agreeing)
    # Few may agree by chance.
    least = _ALIKE if len(agreeing) >= _ENOUGH else _SURE
    # By its size, or by what is left unexplained.
    better = after > before + _GAIN or 1 - after < _LEFT * (1 - before)
    return _shift(agreeing, len(looks)) if after >= least and better else None


def _surely_shifted(look):
    found = look.agreement
    near = all(abs(s) <= most / 2 for s, most in zip(found.shift, farthest(look.truth.shape), strict=True))
    return _large(look) and near and _away(found.shift) and found.shifted >= max(_SURE, found.unshifted + _GAIN)


def _large(look):
    return min(look.truth.shape[-2:]) >= _SIDE


def _away(shift):
    """Whether a shift is more than registration leaves: between planes a step is wide."""
    return math.hypot(*shift[-2:]) > _APART or any(abs(n) >= 1 for n in shift[:-2])


def _medians(looks):
    return [float(np.median([getattr(look.agreement, name) for look in looks])) for name in ("unshifted", "shifted")]


def _shift(looks, count):
    shifts = np.array([look.agreement.shift for look in looks])
    shift, (before, after) = np.median(shifts, axis=0), _medians(looks)
    if np.abs(shifts - shift).max() <= _SPREAD:
        axes = "ZYX"[-len(shift) :]
        where = "where it is moved by " + ", ".join(f"{n:+g} along {a}" for n, a in zip(shift, axes, strict=True) if n)
        where += ", in pixels"
    else:
        where = f"elsewhere, up to {np.abs(shifts).max()} pixels away"
    which = "" if len(looks) == count else f", {_of(looks)},"
    return Finding(
        "Input and ground truth are shifted",
        f"In {len(looks)} of {count} pairs{which} the ground truth fits better {where} (correlation {after:.2f} "
        f"instead of {before:.2f}). Register the pairs: a network trained on shifted ones blurs.",
    )


def _all_turned(looks):
    """The finding that most truths are mirrored or turned, or nothing."""
    if not looks or any(look.agreement.unshifted >= _SURE for look in looks):
        return None
    for name, turn in _TURNS.items():
        turned = [turn(look.truth) for look in looks]
        found = [
            _correlation(look.image, truth)
            for look, truth in zip(looks, turned, strict=True)
            if truth.shape == look.image.shape
        ]
        if len(found) > len(looks) / 2 and np.median(found) >= _SURE:
            before, _ = _medians(looks)
            return Finding(
                "Ground truth is mirrored or turned",
                f"The ground truth fits the input where it is {name} (correlation {np.median(found):.2f} instead of "
                f"{before:.2f}, median of {len(looks)} pairs). Bring both into one orientation.",
            )
    return None


def _correlation(image, truth):
    return float(np.corrcoef(image.ravel(), truth.ravel())[0, 1])


def _all_different(looks, fits):
    """The finding that most truths belong to other inputs, or have the contrast of none, or nothing."""
    if not looks:
        return None
    alike = float(np.median([look.agreement.unshifted for look in looks]))
    if alike < -_ALIKE:
        return Finding(
            "Input and ground truth have opposite contrast",
            f"Where the input is bright the ground truth is dark (correlation {alike:.2f}, median of {len(looks)} "
            "pairs). That is right for some ways of lighting; otherwise one of them is inverted.",
        )
    share = _share_beaten(fits)
    if math.isnan(share):
        strange = alike < _ALIKE
    else:
        # Of very noisy inputs little is left, but it is of their own truth.
        strange = alike < _NONE or (alike < _ALIKE and share < _WEAK_SHARE) or (alike < _WEAK and share < _SHARE)
    if not strange:
        return None
    others = ", and the inputs fit the ground truth of other pairs as well" if share < _WEAK_SHARE else ""
    return Finding(
        "Input and ground truth show different things",
        f"The correlation of input and ground truth is {alike:.2f} in the median of {len(looks)} pairs{others}. Are "
        "the files paired rightly? A weak correlation may be right for very noisy inputs, or another way of imaging.",
    )


def _share_beaten(found):
    """Share of the truths of other pairs that fit an input less than its own; NaN where there are too few."""
    own, others = np.diag(found), ~np.eye(len(found), dtype=bool) & np.isfinite(found)
    if others.sum() < _ENOUGH * (_ENOUGH - 1):
        return math.nan
    return float((own[:, None] > found)[others].mean())


def _different(looks, fits):
    """Pairs that do not fit, among others that do."""
    if len(looks) < _ENOUGH or np.median([look.agreement.unshifted for look in looks]) < _WEAK:
        return []
    contrasts = [look.truth.std() for look in looks]
    least = _EMPTY * np.median(contrasts)
    weak = [look.agreement.unshifted < _ALIKE for look in looks]
    elsewhere = [_partner(fits, i) is not None for i in range(len(looks))]
    facts = zip(looks, weak, elsewhere, contrasts, strict=True)
    return [
        look
        for look, is_weak, is_elsewhere, contrast in facts
        if (is_weak or is_elsewhere) and contrast >= least and _large(look) and not _surely_shifted(look)
    ]


def _partner(found, i):
    """The pair whose truth fits the input of pair ``i``, ``None`` where the own one does, or none."""
    others = np.where(np.isfinite(found[i]), found[i], -1)
    others[i] = -1
    best = int(others.argmax())
    return best if others[best] >= max(_SURE, found[i, i] + _MORE) else None


def _strange(different, looks, fits, count):
    worst = float(np.median([look.agreement.unshifted for look in different]))
    usual = float(np.median([look.agreement.unshifted for look in looks]))
    text = ""
    partners = ((look, _partner(fits, i)) for i, look in enumerate(looks))
    for look, partner in partners:
        if partner is not None and any(look is each for each in different):
            text = f" The input of {look.name} fits the ground truth of {looks[partner].name}."
            break
    return Finding(
        "Input and ground truth show different things",
        f"In {len(different)} of {count} pairs looked at the ground truth does not fit the input: {_of(different)} "
        f"(correlation {worst:.2f}, {usual:.2f} in the median of all).{text} Are the files paired rightly?",
    )


def _of_scales(looks: Sequence[PairLook]) -> Iterator[Finding]:
    gains = [look.gain for look in looks if look.agreement.unshifted >= _WEAK]
    if not gains:
        return
    gain = float(np.median(gains))
    if gain > 0 and not 1 / _SCALE < gain < _SCALE:
        yield Finding(
            "Ground truth of another intensity scale",
            f"As the network sees them, the structures of the inputs are {gain:.2g} times as bright as those of the "
            "ground truth. Predictions have the intensities of the ground truth; if those of the input are wanted, "
            "set data.match_targets=true.",
        )
