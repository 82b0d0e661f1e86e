//! Every relative link of a document leads to a file, and every `#anchor` to a heading.

use std::collections::{BTreeMap, BTreeSet};

use crate::tree::{Tree, folder, join};

pub fn check(tree: &Tree) -> Vec<String> {
    let mut findings = Vec::new();
    for (path, text) in tree.files.iter().filter(|(path, _)| path.ends_with(".md")) {
        for (line, link) in links(text) {
            if let Some(problem) = problem(tree, path, &link) {
                findings.push(format!("{path}:{line} links to `{link}`: {problem}"));
            }
        }
    }
    findings
}

fn problem(tree: &Tree, from: &str, link: &str) -> Option<String> {
    if link.contains("://") || link.starts_with("mailto:") {
        return None;
    }
    let (file, anchor) = link.split_once('#').map_or((link, None), |(file, anchor)| (file, Some(anchor)));
    let target = if file.is_empty() { Some(from.to_owned()) } else { join(folder(from), file) };
    let Some(target) = target.filter(|target| target.is_empty() || tree.exists(target)) else {
        return Some(
            "there is no such file\n  -> correct the path, which is relative to the document".into(),
        );
    };
    let anchor = anchor.filter(|_| target.ends_with(".md"))?;
    let known = anchors(&tree.files[&target]);
    (!known.contains(anchor)).then(|| {
        let known: Vec<_> = known.iter().map(String::as_str).collect();
        format!("{target} has no such heading\n  -> its anchors are {}", known.join(", "))
    })
}

/// The targets of a document's links, each with its line. What is code is none.
fn links(text: &str) -> Vec<(usize, String)> {
    let mut links = Vec::new();
    for (line, prose) in prose(text) {
        let prose = without_code(prose);
        let mut rest = prose.as_str();
        while let Some(at) = rest.find("](") {
            rest = &rest[at + 2..];
            // A title may follow the target.
            let target = rest.split([')', ' ']).next().unwrap_or_default();
            links.push((line, target.trim_matches(['<', '>']).to_owned()));
        }
        if let Some((_, target)) =
            prose.trim_start().strip_prefix('[').and_then(|rest| rest.split_once("]: "))
        {
            links.push((line, target.trim().to_owned()));
        }
        for attribute in ["src=\"", "href=\"", "srcset=\""] {
            for after in prose.split(attribute).skip(1) {
                links.push((line, after.split('"').next().unwrap_or_default().to_owned()));
            }
        }
    }
    links
}

/// The lines that are in no fenced block, from 1.
pub fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut fence: Option<&str> = None;
    text.lines().enumerate().filter_map(move |(at, line)| {
        let mark = ["```", "~~~"].into_iter().find(|mark| line.trim_start().starts_with(mark));
        match (fence, mark) {
            (None, Some(mark)) => fence = Some(mark),
            (Some(open), Some(mark)) if open == mark => fence = None,
            (None, None) => return Some((at + 1, line)),
            (Some(_), _) => {}
        }
        None
    })
}

fn without_code(line: &str) -> String {
    line.split('`').enumerate().map(|(at, part)| if at % 2 == 0 { part } else { "" }).collect()
}

/// The anchors of a document, as GitHub makes them of its headings, and those that it writes itself.
pub fn anchors(text: &str) -> BTreeSet<String> {
    let mut anchors = BTreeSet::new();
    let mut times: BTreeMap<String, usize> = BTreeMap::new();
    for (_, line) in prose(text) {
        for attribute in ["id=\"", "name=\""] {
            anchors.extend(
                line.split(attribute).skip(1).filter_map(|after| after.split('"').next()).map(str::to_owned),
            );
        }
        let title = line.trim_start_matches('#');
        if title.len() == line.len() || !title.starts_with(' ') {
            continue;
        }
        let anchor = anchor(title);
        let time = times.entry(anchor.clone()).or_default();
        anchors.insert(if *time == 0 { anchor } else { format!("{anchor}-{time}") });
        *time += 1;
    }
    anchors
}

fn anchor(title: &str) -> String {
    let mut shown = String::new();
    let mut rest = title.trim();
    // Of a link in a heading its text is shown.
    while let Some((before, after)) = rest.split_once("](") {
        shown.push_str(before);
        rest = after.split_once(')').map_or("", |(_, rest)| rest);
    }
    shown.push_str(rest);
    let kept = shown.to_lowercase();
    let kept = kept.chars().filter(|letter| letter.is_alphanumeric() || matches!(letter, ' ' | '-' | '_'));
    kept.map(|letter| if letter == ' ' { '-' } else { letter }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(text: &str) -> Vec<String> {
        let files = [
            ("docs/page.md", text),
            (
                "docs/other.md",
                "# One, *two* & `three`\n\n## Twice\n## Twice\n```\n# no heading\n```\n<a id=\"own\"></a>",
            ),
            ("src/lib.rs", ""),
        ];
        check(&Tree::of(&files))
    }

    #[test]
    fn links_that_lead_somewhere_are_no_finding() {
        let right = [
            "[a](other.md), [b](other.md#one-two--three) ![c](../src/lib.rs)",
            "[a](../src)",
            "[a](other.md#twice-1)",
            "[a](other.md#own)",
            "# Here\n[a](#here)",
            "[a](https://example.com/x#y)",
            "`[a](gone.md)`",
            "```\n[a](gone.md)\n```",
            "[a]: other.md",
            "[a](other.md \"title\")",
            "<img src=\"other.md\">",
        ];
        for text in right {
            assert_eq!(findings(text), Vec::<String>::new(), "{text}");
        }
    }

    #[test]
    fn a_link_that_leads_nowhere_is_found_with_its_line() {
        let wrong = [
            "\n[a](gone.md)",
            "\nx ![a](../docs/gone.svg)",
            "\n[a]: gone.md",
            "\n<img src=\"gone.svg\">",
            "\n[a](#here)",
            "\n[a](other.md#three)",
            "\n[a](other.md#no-heading)",
            "\n[a](../../outside.md)",
        ];
        for text in wrong {
            let findings = findings(text);
            assert_eq!(findings.len(), 1, "{text}: {findings:?}");
            assert!(findings[0].starts_with("docs/page.md:2 links to "), "{}", findings[0]);
        }
    }
}
