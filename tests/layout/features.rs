//! What a feature brings is re-exported under that feature: without it, the library still compiles.

use std::collections::BTreeMap;

use crate::tree::Tree;

pub fn check(tree: &Tree) -> Vec<String> {
    let lists = tree.files.iter().filter(|(path, _)| path.starts_with("src/") && path.ends_with("mod.rs"));
    lists.flat_map(|(path, text)| check_list(path, text)).collect()
}

fn check_list(path: &str, text: &str) -> Vec<String> {
    let mut features: BTreeMap<&str, Option<&str>> = BTreeMap::new();
    let mut findings = Vec::new();
    let mut last = "";
    for (at, line) in text.lines().map(str::trim).enumerate() {
        let feature = last.strip_prefix("#[cfg(feature = ").and_then(|rest| rest.strip_suffix(")]"));
        if line.starts_with("#[cfg(feature") && feature.is_some() {
            findings.push(format!("{path}:{}: two features for one item; one of them is another's", at + 1));
        }
        let item = line.strip_prefix("pub(crate) ").or(line.strip_prefix("pub ")).unwrap_or(line);
        if let Some(module) = item.strip_prefix("mod ").and_then(|rest| rest.strip_suffix(';')) {
            features.insert(module, feature);
        }
        if let Some(module) = item.strip_prefix("use ").and_then(|rest| rest.split("::").next())
            && let Some(Some(needed)) = features.get(module)
            && feature != Some(needed)
        {
            findings.push(format!(
                "{path}:{}: `{module}` is of the feature {needed}, and its export is not",
                at + 1
            ));
        }
        last = line;
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_export_without_its_feature_is_found() {
        let found = |text: &str| check(&Tree::of(&[("src/a/mod.rs", text)]));
        let module = "#[cfg(feature = \"lambda\")]\nmod accept;\nmod outbox;\n";
        assert!(
            found(&format!("{module}pub use outbox::A;\n#[cfg(feature = \"lambda\")]\npub use accept::B;\n"))
                .is_empty()
        );
        let without = found(&format!("{module}pub use outbox::A;\npub use accept::B;\n"));
        assert_eq!(without, ["src/a/mod.rs:5: `accept` is of the feature \"lambda\", and its export is not"]);
        let twice = found(&format!(
            "{module}#[cfg(feature = \"lambda\")]\n#[cfg(feature = \"lambda\")]\npub use accept::B;\n"
        ));
        assert_eq!(twice.len(), 1);
    }
}
