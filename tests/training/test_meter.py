"""Running means, the time left, and the row of the progress bar."""

from poetgen.training.meter import Meter, fitted


def test_meter_averages_the_last_steps() -> None:
    meter = Meter(step=0, total_steps=1000)
    for step, nats in enumerate([9.0, 7.0, 5.0], start=1):
        meter.update(step, nats_per_token=nats, tokens_per_second=step, now=step)
    assert (meter.nats_per_token, meter.tokens_per_second) == (7.0, 2.0)
    for step in range(4, 200):
        meter.update(step, nats_per_token=1.0, tokens_per_second=10, now=step)
    assert meter.nats_per_token < 1.01


def test_meter_measures_the_time_left_after_the_first_step() -> None:
    meter = Meter(step=100, total_steps=110)
    assert meter.seconds_left is None
    meter.update(101, nats_per_token=1.0, tokens_per_second=1.0, now=500.0)
    assert meter.seconds_left is None
    meter.update(102, nats_per_token=1.0, tokens_per_second=1.0, now=504.0)
    meter.update(103, nats_per_token=1.0, tokens_per_second=1.0, now=506.0)
    assert meter.seconds_left == 7 * 3.0
    assert "left" in meter.texts()


def test_fitted_keeps_what_fits() -> None:
    meter = Meter(step=0, total_steps=100)
    for step in (1, 2):
        meter.update(step, nats_per_token=5.0, tokens_per_second=12_345.0, now=60.0 * step)
    texts = {"epoch": "epoch 1/8", **meter.texts()}
    everything = "epoch 1/8  2%  loss 5.000  perplexity 148.4  12,345 tokens/s  1 h 38 min left"
    assert fitted(texts, 80) == everything
    assert fitted(texts, 50) == "epoch 1/8  2%  perplexity 148.4  1 h 38 min left"
    assert fitted(texts, 40) == "2%  perplexity 148.4  1 h 38 min left"
    assert fitted(texts, 18) == "1 h 38 min left"
    assert fitted({"epoch": "第 1/8 轮", "left": "还需 5 分钟"}, 20) == "还需 5 分钟"
