"""Wrong labels: the arithmetic, the noise-aware model against formulas, and what comes out; nothing is sampled here."""

import warnings

import numpy as np
import pandas as pd
import pymc as pm
import pytest
from scipy.special import expit, logsumexp, softmax
from scipy.stats import halfnorm, norm

import bayesrepair as br
from bayesrepair.bridges.pymc.model import pymc_model
from bayesrepair.noise import SOURCE, LabelNoise, with_source
from bayesrepair.numerics.label_posterior import transition, true_class, wrong
from bayesrepair.numerics.model_weight import bootstrap_weight
from bayesrepair.status import DataError, MethodError, RepairWarning, UnsupportedModelError
from bayesrepair.suspects.noise_evidence import NoiseEvidence, noise_status

QUIET = {"method": "laplace", "progressbar": False}


def table(size, *, classes=2, flips=0.1, seed=0, slope=2.5):
    """Rows with ids that are no positions, given classes as words, and which of them are wrong."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(size, 2 if classes == 2 else 3))
    beta = slope * rng.normal(size=(x.shape[1], classes)) if classes > 2 else slope * np.array([[0, 1.0], [0, -0.7]])
    p = softmax(x @ beta, axis=1)
    true = np.array([rng.choice(classes, p=row) for row in p])
    bad = np.zeros(size, dtype=bool)
    bad[rng.choice(size, round(flips * size), replace=False)] = True
    given = np.where(bad, (true + rng.integers(1, classes, size)) % classes, true)
    frame = pd.DataFrame(x, columns=[f"x{j}" for j in range(x.shape[1])], index=[f"id {i}" for i in range(size)])
    frame["y"] = given
    return frame, bad


def logistic(frame):
    """Build a regression on the classes 0 … K−1 of a table."""
    x, y = frame.filter(like="x").to_numpy(), frame["y"].to_numpy()
    classes = int(y.max()) + 1
    with pm.Model() as model:
        if classes == 2:
            eta = pm.Normal("level", 0, 2) + x @ pm.Normal("slope", 0, 2, shape=x.shape[1])
            pm.Bernoulli("y", logit_p=eta, observed=y)
        else:
            eta = pm.Normal("level", 0, 2, shape=classes) + x @ pm.Normal("slope", 0, 2, shape=(x.shape[1], classes))
            pm.Categorical("y", logit_p=eta, observed=y)
    return model


@pytest.fixture(scope="module")
def base():
    """Fit of two classes; others share its model, which is laid open once."""
    frame, _ = table(400, flips=0.12)
    return br.from_pymc(logistic(frame), data=frame, **QUIET)


def fit_of(base, frame):
    rows = base.model.rows(frame)
    gaussian = base.model.train(rows, start=base.posterior, rng=np.random.default_rng(0))
    return br.Fit(base.model, rows, gaussian, table=frame)


@pytest.fixture(scope="module")
def flipped(base):
    frame, bad = table(400, flips=0.12)
    return base, pd.Series(bad, index=frame.index)


@pytest.fixture(scope="module")
def suspects(flipped):
    return br.find_suspects(flipped[0])


# arithmetic


def test_true_class_is_bayes_rule_written_out():
    rng = np.random.default_rng(1)
    S, N, K = 3, 5, 4
    pi, given = rng.dirichlet(np.ones(K), size=(S, N)), rng.integers(0, K, N)
    rate, target = 0.5 * rng.random((S, N, K)), rng.random((S, K, K)) * (1 - np.eye(K))
    target /= target.sum(axis=2, keepdims=True)
    found = true_class(pi, rate, target, given)
    for s in range(S):
        for i in range(N):
            matrix = transition(rate[s : s + 1, i], target[s : s + 1])[0]
            joint = pi[s, i] * matrix[:, given[i]]
            np.testing.assert_allclose(found[s, i], joint / joint.sum(), rtol=1e-12)
    np.testing.assert_allclose(wrong(found, given), 1 - found[:, np.arange(N), given], rtol=1e-10)


def test_transition_rows_sum_to_one_and_the_given_class_wins_its_column():
    model = pymc_model_of(classes=3).with_noise(LabelNoise())
    flips = model.flip_prior(500, np.random.default_rng(0))
    matrix = transition(flips.rate[:, 0], flips.target)
    np.testing.assert_allclose(matrix.sum(axis=2), 1.0, rtol=1e-12)
    diagonal = matrix[:, np.arange(3), np.arange(3)]
    assert diagonal.min() > 0.5
    assert (matrix - np.eye(3) * matrix).max() < 0.5


def test_a_row_known_to_be_right_is_never_wrong_even_where_the_model_says_impossible():
    found = true_class(np.array([[[1.0, 0.0]]]), np.zeros((1, 1, 2)), np.array([[[0.0, 1], [1, 0]]]), np.array([1]))
    np.testing.assert_array_equal(found, [[[0.0, 1.0]]])


def test_bootstrap_weight_is_fair_and_monotone():
    difference = np.random.default_rng(2).normal(size=400) * 0.2
    difference -= difference.mean()
    assert abs(bootstrap_weight(difference) - 0.5) < 0.05
    shifted = [bootstrap_weight(difference + shift / 400) for shift in (-10, -2, 2, 10)]
    assert (np.diff(shifted) > 0).all()


# the noise-aware model


def pymc_model_of(classes=2, **kwargs):
    frame, _ = table(40, classes=classes, **kwargs)
    return br.from_pymc(logistic(frame), data=frame, **QUIET).model


def by_name(model, theta):
    parts, start = {}, 0
    for variable, shape in zip(model.graph.value_vars, model.graph.shapes, strict=True):
        size = int(np.prod(shape))
        parts[str(variable.name)] = theta[start : start + size].reshape(shape)
        start += size
    return parts


def matrix_by_hand(values, group, classes, groups):
    """T of one group, from the definition."""
    apart = 0.15 * np.sinh(values["label_noise_class"])
    apart = np.array([apart[0], -apart[0]]) if classes == 2 else np.sqrt(2) * apart
    logit = values["label_noise_level"] + apart
    if groups:
        effect = np.append(np.exp(values["label_noise_group_spread"]) * values["label_noise_group"], 0.0)
        logit = logit + effect[group]
    rate = 0.5 * expit(logit)
    matrix = np.diag(1 - rate)
    for c in range(classes):
        others = [d for d in range(classes) if d != c]
        share = [1.0] if classes == 2 else softmax(np.sinh(values["label_noise_target"][c]))
        for d, q in zip(others, share, strict=True):
            matrix[c, d] = rate[c] * q
    return matrix


def test_any_two_classes_differ_alike_whatever_their_number():
    noise, spread = LabelNoise(), []
    for classes in (2, 3, 5):
        z = np.random.default_rng(0).normal(size=(400_000, 1 if classes == 2 else classes))
        logit = noise.rate_logit({"level": np.zeros((1, 1)), "class": z}, classes, np)[:, 0]
        spread.append((logit[:, 0] - logit[:, 1]).std())
    np.testing.assert_allclose(spread[1:], spread[0], rtol=0.02)
    np.testing.assert_allclose(spread[0], 2 * 0.15 * np.sqrt((np.exp(2) - 1) / 2), rtol=0.02)  # of sinh(z)


@pytest.mark.parametrize(("classes", "groups", "trusted"), [(2, 0, False), (2, 3, True), (3, 0, False), (3, 2, True)])
def test_log_likelihood_is_the_formula_and_the_gradient_its_derivative(classes, groups, trusted):
    clean = pymc_model_of(classes=classes)
    noise = LabelNoise(groups=groups, trusted=trusted)
    model, rng = clean.with_noise(noise), np.random.default_rng(3)
    rows = clean.training
    source = rng.integers(0, groups + 1 + trusted, len(rows)) if groups or trusted else np.zeros(len(rows), dtype=int)
    if groups or trusted:
        rows = with_source(rows, source)
    theta = model.initial + 0.7 * rng.normal(size=(2, model.n_params))
    found = model.log_lik(theta, rows)
    pi, given = clean.predict(theta[:, : clean.n_params], clean.training), rows.values["y"].astype(int)
    for s in range(2):
        values = by_name(model, theta[s])
        for i in range(len(rows)):
            known = trusted and source[i] == groups + 1
            matrix = np.eye(classes) if known else matrix_by_hand(values, source[i], classes, groups)
            np.testing.assert_allclose(found[s, i], np.log(pi[s, i] @ matrix[:, given[i]]), rtol=1e-9)
    np.testing.assert_allclose(model.predict(theta, rows), pi, rtol=1e-12)  # still of the true class
    weight = rng.random(len(rows))
    value, gradient = model.log_target_and_grad(theta, rows, weight)
    np.testing.assert_allclose(value, model.log_prior(theta) + found @ weight, rtol=1e-9)
    step = 1e-5
    for p in range(model.n_params):
        shift = step * np.eye(model.n_params)[p]
        up, down = (model.log_prior(q) + model.log_lik(q, rows) @ weight for q in (theta + shift, theta - shift))
        np.testing.assert_allclose(gradient[:, p], (up - down) / (2 * step), rtol=1e-5, atol=1e-6)


def test_log_prior_is_what_the_specification_says():
    clean = pymc_model_of(classes=3)
    model = clean.with_noise(LabelNoise(groups=4))
    theta = model.initial + 0.5 * np.random.default_rng(4).normal(size=(1, model.n_params))
    values = by_name(model, theta[0])
    log_spread = values["label_noise_group_spread"]
    expected = (
        norm.logpdf(values["label_noise_level"], -1.5, 1.5)
        + norm.logpdf(values["label_noise_class"]).sum()
        + norm.logpdf(values["label_noise_target"]).sum()
        + norm.logpdf(values["label_noise_group"]).sum()
        + halfnorm.logpdf(np.exp(log_spread), scale=0.5)
        + log_spread
    )
    got = model.log_prior(theta) - clean.log_prior(theta[:, : clean.n_params])
    np.testing.assert_allclose(got, expected, rtol=1e-9)


def test_draws_from_the_prior_have_its_quantiles():
    model = pymc_model_of().with_noise(LabelNoise(mechanism="uniform"))
    rate = model.flip_prior(20_000, np.random.default_rng(0)).rate[:, 0]
    np.testing.assert_array_equal(rate[:, 0], rate[:, 1])
    quantiles = 0.5 * expit(norm.ppf([0.05, 0.5, 0.95], -1.5, 1.5))
    np.testing.assert_allclose(np.quantile(rate[:, 0], [0.05, 0.5, 0.95]), quantiles, rtol=0.05)


def test_with_two_observed_variables_the_label_alone_may_be_wrong():
    rng = np.random.default_rng(5)
    x, y = rng.normal(size=30), rng.integers(0, 2, 30)
    z = x + rng.normal(size=30)
    with pm.Model() as model:
        slope = pm.Normal("slope")
        pm.Bernoulli("y", logit_p=slope * x, observed=y)
        pm.Normal("z", slope * x, 1.0, observed=z)
    clean = br.from_pymc(model, outcome="y", **QUIET).model
    noisy = clean.with_noise(LabelNoise())
    theta = noisy.initial[None] + 0.3
    found, plain = noisy.log_lik(theta, clean.training)[0], norm.logpdf(z, theta[0, 0] * x, 1.0)
    p = expit(theta[0, 0] * x)
    pi, matrix = np.stack([1 - p, p], axis=1), matrix_by_hand(by_name(noisy, theta[0]), 0, 2, 0)
    np.testing.assert_allclose(found, plain + np.log((pi @ matrix)[np.arange(30), y]), rtol=1e-9)


def test_a_model_is_made_noise_aware_once():
    clean = pymc_model_of()
    assert clean.with_noise(LabelNoise()) is clean.with_noise(LabelNoise())
    assert clean.with_noise(LabelNoise()) is not clean.with_noise(LabelNoise(trusted=True))


def test_new_rows_are_read_as_the_users_model_reads_them():
    frame, _ = table(40)
    clean = br.from_pymc(logistic(frame), data=frame, **QUIET).model
    noisy = clean.with_noise(LabelNoise(groups=2, trusted=True))
    np.testing.assert_array_equal(noisy.rows(frame.head(3)).values[SOURCE], 2)
    theta = noisy.initial[None]
    plain = clean.predict(theta[:, : clean.n_params], clean.rows(frame))
    np.testing.assert_allclose(noisy.predict(theta, clean.rows(frame)), plain)  # rows that say nothing of a source


def test_a_column_called_as_the_source_of_labels_is_refused():
    with pm.Model() as model:
        source = pm.Data(SOURCE, np.arange(30.0))
        pm.Bernoulli("y", logit_p=pm.Normal("slope") * source, observed=np.arange(30) % 2)
    with pytest.raises(UnsupportedModelError, match="Rename"):
        br.find_suspects(br.from_pymc(model, **QUIET))


# what comes out


def test_planted_errors_come_first_with_high_probability(flipped, suspects):
    # a canary for the sign: wrong labels get a HIGH probability
    _, bad = flipped
    frame = suspects.frame()
    bad = bad.reindex(frame.index)
    assert frame["prob_wrong"].is_monotonic_decreasing
    assert bad.head(20).mean() > 0.85
    assert frame["prob_wrong"][bad].mean() > 0.4 > 0.1 > frame["prob_wrong"][~bad].mean()
    assert frame["surprise"][bad].mean() > 2 * frame["surprise"][~bad].mean()


def test_an_absurd_label_is_found_and_the_right_one_suggested(base):
    frame, _ = table(300, flips=0.05, seed=3)
    absurd = frame.index[frame["x0"].argmax()]
    frame.loc[absurd, "y"] = 0
    found = br.find_suspects(fit_of(base, frame)).frame().loc[absurd]
    assert found["prob_wrong"] > 0.9
    assert found["suggested"] == 1
    np.testing.assert_allclose(found["prob_suggested"], found["prob_wrong"])


def test_four_classes():
    frame, bad = table(400, classes=4, flips=0.15, slope=4.0, seed=1)
    found = br.find_suspects(br.from_pymc(logistic(frame), data=frame, **QUIET))
    np.testing.assert_allclose(found.noise_matrix["mean"].groupby("true").sum(), 1.0, rtol=1e-9)
    lines = found.frame().head(25)
    rows = frame.index.get_indexer(lines.index)
    assert bad[rows].mean() > 0.8
    wrong_ones = lines[bad[rows]]
    assert (wrong_ones["suggested"] != wrong_ones["given"]).all()


def test_ordered_classes():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 2))
    true = np.digitize(6 * (x[:, 0] - x[:, 1]) + rng.logistic(size=300), [-6, -2, 2, 6])
    given = np.where(rng.random(300) < 0.1, (true + rng.integers(1, 5, 300)) % 5, true)
    off = np.abs(given - true)
    with pm.Model() as model:
        cuts = pm.Normal(
            "cuts", 0, 5, shape=4, transform=pm.distributions.transforms.ordered, initval=[-2.0, -1.0, 1.0, 2.0]
        )
        eta = pm.Data("x", x, dims=("row", "column")) @ pm.Normal("slope", 0, 5, shape=2)
        pm.OrderedLogistic("y", eta=eta, cutpoints=cuts, observed=given, dims="row")
    frame = br.find_suspects(br.from_pymc(model, **QUIET)).frame().sort_index()
    found = (frame["prob_wrong"] > 0.5).to_numpy()
    assert (off[found] > 0).mean() > 0.85
    assert found[off >= 2].mean() > 0.7  # neighbours overlap
    assert found[off == 0].mean() < 0.02
    left = np.abs(frame["suggested"].astype(int).to_numpy() - true)[found & (off >= 2)]
    assert (left == 0).mean() > 0.6  # of five classes
    assert left.max() <= 1


def test_trusted_rows_are_never_suspected_and_rows_from_outside_help(flipped):
    fit, bad = flipped
    good = bad.index[~bad][:100]
    found = br.find_suspects(fit, trusted=list(good)).frame()
    np.testing.assert_array_equal(found.loc[good, "prob_wrong"], 0.0)
    assert (found.loc[good, "reason"] == "known to be right").all()
    outside, _ = table(300, flips=0.0, seed=0)
    outside.index = range(300)
    both = br.find_suspects(fit, trusted=[outside, good[0]])
    assert len(both) == len(bad)
    assert len(both.fit.rows) == len(bad) + 300
    assert both.frame().loc[good[0], "prob_wrong"] == 0.0


def test_trusted_rows_whose_ids_are_taken_keep_apart(flipped):
    fit, bad = flipped
    outside, _ = table(5, flips=0.0, seed=1)
    found = br.find_suspects(fit, trusted=outside)
    assert "trusted id 0" in set(found.fit.rows.row)
    assert found.frame().index.isin(bad.index).all()


def test_a_bad_annotator_stands_out(base):
    frame, _ = table(500, flips=0.0, seed=2)
    rng = np.random.default_rng(1)
    who = pd.Series(rng.choice(["ann", "bob", "cy", None], 500, p=[0.4, 0.3, 0.2, 0.1]), index=frame.index, name="by")
    bad = ((who == "bob") & (rng.random(500) < 0.35)) | ((who != "bob") & (rng.random(500) < 0.02))
    frame["y"] = np.where(bad, 1 - frame["y"], frame["y"])
    found = br.find_suspects(fit_of(base, frame), groups=who)
    groups = found.groups
    assert groups.index[0] == "bob"
    assert groups.index.name == "by"
    assert groups["low"].iloc[0] > groups["high"].iloc[1:].max()
    assert groups["low"].iloc[0] < bad[who == "bob"].mean() < groups["high"].iloc[0]
    np.testing.assert_array_equal(groups["rows"], who.value_counts().reindex(groups.index))
    assert groups["prob_highest"].sum() == pytest.approx(1.0)


def test_the_order_of_rows_does_not_matter(base, suspects):
    frame, _ = table(400, flips=0.12)
    shuffled = frame.sample(frac=1, random_state=3)
    other = br.find_suspects(fit_of(base, shuffled)).frame()
    first = suspects.frame()
    np.testing.assert_allclose(other["prob_wrong"].reindex(first.index), first["prob_wrong"], atol=2e-3)


def test_a_hierarchical_model():
    rng = np.random.default_rng(6)
    site, x = rng.integers(0, 8, 400), rng.normal(size=400)
    level = rng.normal(size=8)
    y = (rng.random(400) < expit(level[site] + 6 * x)).astype(int)
    bad = rng.random(400) < 0.12
    given = np.where(bad, 1 - y, y)
    with pm.Model() as model:
        spread = pm.HalfNormal("spread", 1.0)
        levels = spread * pm.Normal("z", shape=8)
        pm.Bernoulli("y", logit_p=levels[site] + pm.Normal("slope", 0, 5) * x, observed=given)
    found = br.find_suspects(br.from_pymc(model, **QUIET)).frame()
    assert bad[found.index[:20]].mean() > 0.8


def test_a_bambi_model(cancer):
    flipped = cancer.iloc[:150].copy()
    wrong_ones = [3, 40, 77, 101]
    flipped.loc[flipped.index[wrong_ones], "diagnosis"] = (
        flipped["diagnosis"].iloc[wrong_ones].map({"benign": "malignant", "malignant": "benign"}).to_numpy()
    )
    found = br.find_suspects(br.from_table(flipped, target="diagnosis", **QUIET))
    assert found.frame()["prob_wrong"].rank(ascending=False).loc[flipped.index[wrong_ones]].median() <= 4
    assert set(found.frame()["suggested"]) <= {"benign", "malignant"}
    assert list(found.frame().columns[:7]) == [
        *("given", "prob_wrong", "mcse", "suggested", "prob_suggested", "surprise", "reason")
    ]
    predicted = found.fit.predict(cancer.iloc[150:155])
    np.testing.assert_allclose(predicted[["benign", "malignant"]].sum(axis=1), 1.0)


# counts, precision, words


def test_expected_counts_and_precisions_follow_from_the_probabilities(suspects):
    q = suspects.suspicion.prob_wrong
    count, weight = suspects.expected_count, suspects.prob_noise
    assert weight > 0.95
    assert abs(count.mean - weight * q.sum()) < 1.5
    assert count.low < count.mean < count.high
    k = 30
    precision = suspects.expected_precision(k)
    assert abs(precision.mean - weight * suspects.top(k)["prob_wrong"].mean()) < 0.02
    assert 0 <= precision.low < precision.mean < precision.high <= 1


def test_where_nothing_speaks_for_wrong_labels_none_is_promised(base):
    frame, _ = table(300, flips=0.0, slope=0.7, seed=4)
    found = br.find_suspects(fit_of(base, frame))
    assert found.prob_noise < 0.9
    assert found.status.level == "checked"
    assert "cannot be told apart" in found.status.message
    assert found.expected_count.low == 0
    assert found.expected_precision(10).low == 0


def test_status_says_what_is_wrong():
    strong = NoiseEvidence(np.full(200, 0.1), 0.02, np.linspace(0.09, 0.11, 99), np.linspace(0.01, 0.3, 99))
    tie = np.linspace(-1, 1, 200) * 0.1
    weak = NoiseEvidence(tie, 0.3, np.linspace(0.01, 0.3, 99), np.linspace(0.01, 0.3, 99))
    apart = NoiseEvidence(tie, 0.02, np.linspace(0.01, 0.3, 99), np.linspace(0.01, 0.3, 99))
    assert noise_status(strong, rhat=1.0, ess=1000.0).level == "ok"
    assert noise_status(strong, rhat=1.02, ess=1000.0).level == "unreliable"
    assert noise_status(strong, rhat=1.0, ess=100.0).level == "unreliable"
    doubtful = noise_status(weak, rhat=1.0, ess=1000.0)
    assert doubtful.level == "checked"
    assert "cannot be told apart" in doubtful.message
    assert "overlap" in doubtful.message
    assert doubtful.remedy
    assert weak.prob_noise == weak.weight < 0.6
    assert apart.prob_noise == 1.0
    assert noise_status(apart, rhat=1.0, ess=1000.0).level == "ok"
    assert weak.learned < 0.05
    assert strong.learned > 0.95
    assert "mode" in noise_status(strong, rhat=np.nan, ess=np.nan).message


def test_relabel_and_drop_hand_over_to_repair(flipped, suspects):
    fit, _ = flipped
    dropped = suspects.drop(5, random_seed=0)
    assert set(suspects.top(5).index) == set(fit.rows.row[dropped.after.row_weights == 0])
    with pytest.warns(RepairWarning, match="self-training"):
        relabelled = suspects.relabel(threshold=0.9, random_seed=0)
    rows, weight = relabelled.after.current()
    chosen = suspects.frame().query("prob_wrong >= 0.9")
    np.testing.assert_array_equal(rows.take(chosen.index).values["y"], chosen["suggested"].astype(int))
    np.testing.assert_array_equal(weight, 1.0)
    for wanted in ({}, {"k": 3, "threshold": 0.5}, {"threshold": 1.5}, {"k": 0}):
        with pytest.raises(DataError):
            suspects.drop(**wanted)


def test_names_are_escaped_and_the_table_follows():
    frame, _ = table(120, seed=5)
    frame["y"] = np.where(frame["y"] == 1, "<b>yes</b>", "no")
    frame["prob_wrong"] = 7.0
    model_frame = frame.assign(y=(frame["y"] != "no").astype(int))
    with pm.Model() as model:
        eta = frame.filter(like="x").to_numpy() @ pm.Normal("slope", 0, 2, shape=2)
        pm.Bernoulli("y", logit_p=eta, observed=(model_frame["y"] == 0).to_numpy().astype(int))
    found = br.find_suspects(br.from_pymc(model, data=frame, **QUIET))
    assert "<b>" not in found._repr_html_()
    assert "&lt;b&gt;" in found._repr_html_()
    assert "prob_wrong (table)" in found.frame()
    assert "ranked by the probability" in repr(found)


def test_plot_shows_the_rows_and_says_what_to_expect(suspects):
    ax = suspects.plot(8)
    assert len(ax.get_yticklabels()) == 8
    assert "expected to be wrong" in ax.get_title(loc="left")
    assert "right = suspicious" in ax.get_xlabel()
    with pytest.raises(DataError):
        suspects.plot(0)


def test_edited_fits_are_looked_at_as_they_stand(flipped, suspects):
    fit, _ = flipped
    gone = list(suspects.top(10).index)
    after = br.find_suspects(br.repair(fit, gone, method="newton").after)
    assert len(after) == len(suspects) - 10
    assert not set(gone) & set(after.frame().index)
    with pytest.raises(DataError, match="before that edit"):
        br.find_suspects(br.repair(fit, gone, weight=0.5, method="newton").after)


def test_what_is_refused(flipped):
    fit, bad = flipped
    for kwargs, error in [
        ({"noise": "none?"}, MethodError),
        ({"method": "guess"}, MethodError),
        ({"trusted": ["nobody"]}, DataError),
        ({"trusted": list(bad.index)}, DataError),
        ({"groups": "no such column"}, DataError),
        ({"groups": np.zeros(len(bad))}, DataError),
        ({"groups": np.zeros(3)}, DataError),
        ({"trusted": pd.DataFrame({"x0": [0.0], "x1": [0.0]})}, DataError),
    ]:
        with pytest.raises(error):
            br.find_suspects(fit, **kwargs)
    from bayesrepair.oracles import NormalNormal

    oracle = NormalNormal()
    rows = oracle.rows({"y": np.zeros(3)})
    with pytest.raises(MethodError):
        br.find_suspects(br.Fit(oracle, rows, oracle.posterior(rows)))


def test_a_model_without_noise_is_refused_and_its_ranking_named(flipped, suspects):
    fit, bad = flipped
    with pytest.raises(MethodError, match="surprise"):
        br.find_suspects(fit, noise="none")
    alone = pd.Series(br.suspects.surprise(fit, fit.rows), index=fit.rows.row)
    frame = suspects.frame()
    np.testing.assert_allclose(alone.reindex(frame.index), frame["surprise"], rtol=1e-12)
    assert alone[bad].mean() > alone[~bad].mean() + 1  # canary of the sign


def test_one_row_in_doubt_is_enough_and_none_is_too_few(flipped):
    fit, bad = flipped
    odd = bad.index[bad][0]
    found = br.find_suspects(fit, trusted=bad.index.drop(odd))
    assert found.frame().index[0] == odd
    assert found.noise_evidence.gain_se == np.inf
    assert 0 < found.frame()["prob_wrong"].iloc[0] < 1
    with pytest.raises(DataError, match="all 400"):
        br.find_suspects(fit, trusted=bad.index)
    assert bootstrap_weight(np.zeros(0)) == 0.5


def test_the_same_seed_gives_the_same_numbers(flipped, suspects):
    again = br.find_suspects(flipped[0])
    pd.testing.assert_frame_equal(again.frame(), suspects.frame())
    assert again.expected_count == suspects.expected_count
    assert again.expected_precision(20) == suspects.expected_precision(20)


def test_log_lik_stays_finite_where_the_model_is_certain():
    clean = pymc_model_of()
    noisy = clean.with_noise(LabelNoise())
    theta = np.concatenate([np.array([2000.0, 0.0, 0.0]), noisy.initial[clean.n_params :]])[None]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        value, gradient = noisy.log_target_and_grad(theta, clean.training, np.ones(len(clean.training)))
    assert np.isfinite(value).all()
    assert np.isfinite(gradient).all()
    np.testing.assert_allclose(
        np.exp(logsumexp(noisy.log_lik(theta, clean.training))), np.exp(noisy.log_lik(theta, clean.training)).sum()
    )


def test_a_discrete_model_is_refused():
    with pm.Model() as model:
        which = pm.Bernoulli("which", 0.5)
        pm.Bernoulli("y", logit_p=pm.Normal("a") + which, observed=np.arange(20) % 2)
    bridge = pymc_model(model)
    rows = bridge.training
    fit = br.Fit(bridge, rows, _draws(bridge))
    with pytest.raises(MethodError, match="fitted anew"):
        br.find_suspects(fit)


def _draws(bridge):
    from bayesrepair.posterior import Draws

    return Draws.plain(np.tile(bridge.initial, (10, 1)))
