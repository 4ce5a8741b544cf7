"""The files beside the code: what they name is there, and they agree with the package."""

import re
from pathlib import Path

import pytest
import yaml

import slowfast
from ost.cli import TOOLS

ROOT = Path(__file__).resolve().parents[1]
TEMPLATES = sorted((ROOT / ".github/ISSUE_TEMPLATE").glob("*.yml"))
PAGES = [ROOT / "README.md", ROOT / "INSTALL.md", ROOT / "SECURITY.md", *ROOT.glob("docs/*.md")]


def test_the_citation_is_of_this_version_and_of_all_papers() -> None:
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert cited["cff-version"] == "1.2.0"
    assert cited["version"] == slowfast.__version__
    for paper in cited["references"]:
        assert {"type", "title", "year", "authors"} <= set(paper)
        assert all(set(author) == {"given-names", "family-names"} for author in paper["authors"])
    years = [(paper["year"], len(paper["authors"])) for paper in cited["references"]]
    assert years == [(2024, 6), (2023, 3), (2023, 5), (2021, 12)]


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_issue_templates_are_forms(path) -> None:
    form = yaml.safe_load(path.read_text())
    if path.name == "config.yml":
        assert "blank_issues_enabled" in form
        return
    assert form["name"]
    assert form["description"]
    ids = [field["id"] for field in form["body"]]
    assert len(ids) == len(set(ids))
    assert all(field["attributes"]["label"] for field in form["body"])


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_pages_name_tools_and_files_that_exist(path) -> None:
    text = path.read_text()
    for name in re.findall(r"(?:^|[`\s])ost ([a-z][a-z-]+)\b", "\n".join(code(text))):
        assert name in TOOLS, f"{path.name} names ost {name}"
    for name in re.findall(r"\]\(((?!https?:|#)[^)#]+)", text):
        assert (path.parent / name).exists(), f"{path.name} links to {name}"


def code(text: str) -> list[str]:
    """Return the blocks and the words of a page that are set as code."""
    blocks = re.findall(r"^```\w*\n(.*?)^```", text, re.M | re.S)
    return blocks + re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S))
