"""What pages and charts say, worked out again from the data that is published beside them."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

Data = dict[str, Any]


def by_model(data: Data, key: str) -> dict[str, Any]:
    """A column's cells, by the path of the model's page, which no two share."""
    place = {field["key"]: i for i, field in enumerate(data["fields"])}
    return {row[place["model"]][1]: row[place[key]] for row in data["rows"]}


def titles(data: Data) -> dict[str, str]:
    place = next(i for i, field in enumerate(data["fields"]) if field["key"] == "model")
    return {row[place][1]: row[place][0] for row in data["rows"]}


def chart(site: Path, name: str) -> dict[str, Any]:
    return dict(
        json.loads((site / "charts" / f"{name}.js").read_text(encoding="utf-8").partition("]=")[2].rstrip(";\n"))
    )


def table(page: Any, caption: str) -> list[list[str]]:
    found: list[list[str]] = page.locator("table", has=page.locator("caption", has_text=caption)).evaluate(
        "t => [...t.tBodies[0].rows].map(r => [...r.cells].map(c => c.textContent.trim()))"
    )
    return found


def test_the_frontier_holds_every_model_that_no_smaller_one_beats(made_site: Path, data: Data) -> None:
    size, score, name = by_model(data, "parameters"), by_model(data, "score"), titles(data)
    points = {name[p]: (size[p], score[p][0]) for p in name if size[p] is not None and score[p] is not None}
    frontier = {
        a
        for a, (n, s) in points.items()
        if not any((m <= n and t > s) or (m < n and t >= s) for m, t in points.values())
    }
    spec = chart(made_site, "size")
    line = next(layer for layer in spec["layer"] if layer.get("data") and layer["mark"]["type"] == "line")
    assert {point["model"] for point in line["data"]["values"]} == frontier
    drawn = {point["model"]: (point["parameters"], point["value"]) for point in spec["data"]["values"]}
    assert set(drawn) == set(points)
    for model, (n, s) in points.items():
        assert drawn[model] == (n, pytest.approx(100 * s, abs=1e-3))


def test_d_against_accuracy_shows_every_model_that_has_both(made_site: Path, data: Data) -> None:
    d, accuracy, name = by_model(data, "dispersion-wiki"), by_model(data, "accuracy-boolq"), titles(data)
    points = chart(made_site, "boolq-dispersion-wiki")["data"]["values"]
    both = {name[p]: (d[p][0], accuracy[p]) for p in name if d[p] and accuracy[p]}
    assert {p["model"] for p in points} == set(both) and len(points) == len(both) == 39
    for point in points:
        x, (share, error) = both[point["model"]]
        assert point["D"] == pytest.approx(x, abs=1e-5)
        half = 1.959964 * error
        ends = [100 * end for end in (share, max(share - half, 0), min(share + half, 1))]
        assert [point["value"], point["low"], point["high"]] == pytest.approx(ends, abs=5e-3)


def test_errors_by_family_and_the_models_predicted_worst(page: Any, made_site: Path, data: Data) -> None:
    predicted, measured = by_model(data, "predicted-accuracy-piqa"), by_model(data, "accuracy-piqa")
    family, name = by_model(data, "family"), titles(data)
    both = {p: 100 * (measured[p][0] - predicted[p][0]) for p in name if predicted[p] and measured[p]}
    errors: dict[str, list[float]] = defaultdict(list)
    for p, residual in both.items():
        errors[family[p]].append(residual)
    page.goto(f"file://{made_site}/tasks/piqa.html")
    lines = table(page, "for each family, predicted from the others")
    assert {line[0] for line in lines} == set(errors) and len(lines) > 4
    for shown, models, mae, bias in lines:
        assert int(models) == len(errors[shown])
        assert float(mae) == pytest.approx(np.abs(errors[shown]).mean(), abs=0.06)
        assert float(bias) == pytest.approx(-np.mean(errors[shown]), abs=0.06)
    worst = sorted(both, key=lambda p: -abs(both[p]))[:10]
    lines = table(page, "largest residuals")
    assert [line[0] for line in lines] == [name[p] for p in worst]
    for line, p in zip(lines, worst, strict=True):
        assert [float(line[2]), float(line[3])] == pytest.approx(
            [100 * measured[p][0], 100 * predicted[p][0]], abs=0.06
        )
        assert float(line[5]) == pytest.approx(both[p], abs=0.06)
        low, high = predicted[p][1:]
        assert line[4].endswith(", missed") == (not low <= measured[p][0] <= high)
    residuals = {point["model"]: point["residual"] for point in chart(made_site, "piqa-residuals")["data"]["values"]}
    assert residuals == pytest.approx({name[p]: both[p] for p in both}, abs=2e-3)


def test_a_models_page_holds_every_number_of_the_records(page: Any, made_site: Path) -> None:
    records = pd.read_parquet(made_site / "data" / "records.parquet").astype({"model": str})
    mine = records[records["model"] == "org/x3-33"]
    (path,) = made_site.glob("models/*/org-x3-33-*.html")
    page.goto(path.as_uri())
    lines = [line for line in table_of_every_number(page) if len(line) == 5]
    expected = sorted((m, f"{v:.4f}") for m, v in zip(mine["metric"], mine["value"], strict=True))
    assert sorted((line[0], line[2]) for line in lines) == expected and len(lines) > 10
    # The picture's line is the recorded profile, turned upside down as pictures are.
    (profile,) = mine.loc[(mine["metric"] == "dispersion") & (mine["kind"] == "corpus"), "profile"]
    points = page.locator(".profile .line").get_attribute("points").split()
    y = [float(point.split(",")[1]) for point in points]
    assert len(y) == len(profile) and np.corrcoef(y, profile)[0, 1] < -0.9999
    ticks = page.locator(".profile text.y").evaluate_all(
        "ts => ts.map(t => [Number(t.getAttribute('y')), Number(t.textContent)])"
    )
    (y0, d0), (y1, d1) = ticks[0], ticks[-1]
    read_off = [d0 + (at - y0) * (d1 - d0) / (y1 - y0) for at in y]
    assert read_off == pytest.approx(list(profile), abs=0.003)


def table_of_every_number(page: Any) -> list[list[str]]:
    found: list[list[str]] = page.locator("table.every").evaluate(
        "t => [...t.rows].map(r => [...r.cells].map(c => c.textContent.trim())).slice(1)"
    )
    return found


def test_pictures_are_text_to_those_who_do_not_see_them(made_site: Path) -> None:
    pictures = list((made_site / "charts").glob("*.svg"))
    assert len(pictures) > 6
    for picture in pictures:
        svg = picture.read_text(encoding="utf-8")
        assert re.findall(r"<text[^>]*>[^<]+</text>", svg), picture.name
        assert "<script" not in svg and "pwned=1>" not in svg
    for html in made_site.rglob("*.html"):
        for image in re.findall(r"<img [^>]*>", html.read_text(encoding="utf-8")):
            alt = re.search(r'alt="(Chart\. [^"]{20,})"', image)
            width, height = (int(re.search(rf'{side}="(\d+)"', image)[1]) for side in ("width", "height"))  # type: ignore[index]
            assert alt and width > 100 and height > 50
