//! What `handover new` and `handover add` write: the texts of `skeleton/`, with the names filled in.

use std::fmt::{self, Display};

use handover::templates::{CORE, DESTINATION, OPERATOR_POLICY, PRODUCER_POLICY};

use serde::Serialize;

use crate::prepared::Files;

/// A text of `skeleton/`.
macro_rules! skeleton {
    ($path:literal) => {
        include_str!(concat!("../skeleton/", $path, ".in"))
    };
}

/// A script of `localstack/`, to which the skeleton has a link.
macro_rules! script {
    ($name:literal) => {
        (concat!("localstack/", $name), include_str!(concat!("../skeleton/localstack/", $name)))
    };
}

/// The functions that a stack has whatever its destinations are.
const STAGES: [&str; 3] = ["accept", "reconcile", "relay"];

/// The files of a repository without a destination.
pub fn repository(name: &str) -> Files {
    let version = concat!(env!("CARGO_PKG_VERSION_MAJOR"), ".", env!("CARGO_PKG_VERSION_MINOR"));
    let filled = |text: &str| {
        let text = text.replace("{{name}}", name).replace("{{version}}", version);
        text.replace("{{rust}}", env!("CARGO_PKG_RUST_VERSION"))
    };
    let mut files: Files = [
        (".github/workflows/ci.yml", skeleton!("ci.yml")),
        (".gitignore", skeleton!("gitignore")),
        ("Cargo.toml", skeleton!("Cargo.toml")),
        ("Makefile", skeleton!("Makefile")),
        ("README.md", skeleton!("README.md")),
        ("routes.json", skeleton!("routes.json")),
        ("rust-toolchain.toml", skeleton!("rust-toolchain.toml")),
        ("template.yaml", skeleton!("template.yaml")),
        ("localstack/stack.sh", skeleton!("stack.sh")),
        script!("down"),
        script!("fix-mappings"),
        script!("function_urls.py"),
        script!("lib.sh"),
        script!("ministack.sh"),
        script!("requirements.txt"),
        script!("setup"),
        script!("start-ministack"),
        script!("up"),
        script!("with"),
        ("handover/core.yaml", CORE),
        ("handover/destination.yaml", DESTINATION),
    ]
    .map(|(path, text)| (path.to_owned(), filled(text)))
    .into();
    for (of, policy) in [("operator", OPERATOR_POLICY), ("producer", PRODUCER_POLICY)] {
        let of_stack =
            policy.replace(":handover-", &format!(":{name}-")).replace("/handover-", &format!("/{name}-"));
        files.push((format!("handover/policies/{of}.json"), of_stack));
    }
    for stage in STAGES {
        let filled = |text: &str| text.replace("{{name}}", stage);
        files.push((format!("functions/{stage}/Cargo.toml"), filled(skeleton!("stage/Cargo.toml"))));
        files.push((format!("functions/{stage}/src/main.rs"), filled(skeleton!("stage/main.rs"))));
    }
    files.push(("functions/accept/tests/routes.rs".into(), skeleton!("routes.rs").into()));
    files
}

/// What a command wrote, and what is left to the user. As JSON, this is its document.
#[derive(Serialize)]
pub struct Written {
    pub written: Vec<String>,
    pub left: Vec<ToDo>,
}

/// What is left to the user in a file.
#[derive(Serialize)]
pub struct ToDo {
    pub file: String,
    pub text: String,
}

impl ToDo {
    pub fn new(file: &str, text: impl Into<String>) -> ToDo {
        ToDo { file: file.to_owned(), text: text.into() }
    }
}

impl Display for ToDo {
    fn fmt(&self, to: &mut fmt::Formatter) -> fmt::Result {
        let ToDo { file, text } = self;
        write!(to, "left to you in {file}: {text}")
    }
}

/// A destination that is added.
pub struct Added {
    /// Its name in the routes.
    pub name: String,
    /// Whether its effect is a call.
    pub external: bool,
    /// Whether it applies in sequence.
    pub sequenced: bool,
}

impl Added {
    /// The files of its crate, in the folder of its name.
    pub fn files(&self) -> Files {
        let texts: &[(&str, &str)] = match self.external {
            true => &[
                ("Cargo.toml", skeleton!("external/Cargo.toml")),
                ("src/lib.rs", skeleton!("external/lib.rs")),
                ("src/main.rs", skeleton!("external/main.rs")),
                ("tests/outcome.rs", skeleton!("external/outcome.rs")),
                ("tests/simulation.rs", skeleton!("external/simulation.rs")),
            ],
            false => &[
                ("Cargo.toml", skeleton!("destination/Cargo.toml")),
                ("src/lib.rs", skeleton!("destination/lib.rs")),
                ("src/main.rs", skeleton!("destination/main.rs")),
                ("tests/simulation.rs", skeleton!("destination/simulation.rs")),
            ],
        };
        texts.iter().map(|(path, text)| (path.to_string(), self.filled(text))).collect()
    }

    /// Its resources in the template, indented as there.
    pub fn resources(&self) -> String {
        self.filled(match self.external {
            true => skeleton!("external/template.yaml"),
            false => skeleton!("destination/template.yaml"),
        })
    }

    /// What its author has to fill in.
    pub fn to_fill_in(&self) -> Vec<ToDo> {
        if !self.external {
            return vec![];
        }
        let lib = format!("functions/{}/src/lib.rs", self.name);
        vec![
            ToDo::new("template.yaml", format!("set PROVIDER_URL of {}", self.resource())),
            ToDo::new(&lib, "write the contract of the provider"),
        ]
    }

    /// The type that is routed to it.
    pub fn r#type(&self) -> String {
        format!("{}.requested", self.name)
    }

    /// The entry of its type in the routes.
    pub fn route(&self) -> String {
        let name = &self.name;
        let sequenced = if self.sequenced { format!(r#", "sequenced": ["{name}"]"#) } else { String::new() };
        format!(r#""{}": {{ "kind": "command", "destinations": ["{name}"]{sequenced} }}"#, self.r#type())
    }

    fn filled(&self, text: &str) -> String {
        let (numbered, sequenced) = match self.sequenced {
            true => ("\n        .partitionkey(\"key\")\n        .sequence(number)", "\n        .sequenced()"),
            false => ("", ""),
        };
        let text = text.replace("{{numbered}}", numbered).replace("{{sequenced}}", sequenced);
        text.replace("{{name}}", &self.name).replace("{{Name}}", &self.resource())
    }

    /// With which the names of its resources begin.
    fn resource(&self) -> String {
        let capital = |part: &str| part[..1].to_uppercase() + &part[1..];
        self.name.split('_').filter(|part| !part.is_empty()).map(capital).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a destination takes of a template, as the change log and the documents promise.
    const TEMPLATE_LINES_MAX: usize = 30;

    fn file(path: &str) -> String {
        let mut files = repository("shop").into_iter();
        files.find(|(known, _)| known == path).unwrap_or_else(|| panic!("no {path}")).1
    }

    #[test]
    fn the_policies_are_of_the_stack() {
        for (of, resource) in [("operator", ":table/shop-positions\""), ("producer", ":shop-upstream\"")] {
            let policy = file(&format!("handover/policies/{of}.json"));
            assert!(policy.contains(resource) && !policy.contains("handover"), "{policy}");
            serde_json::from_str::<serde_json::Value>(&policy).unwrap();
        }
    }

    /// What functions are told is what the core and the destinations have.
    #[test]
    fn the_template_says_what_the_nested_ones_have_by_default() {
        let template = file("template.yaml");
        for (variable, parameter, nested) in [
            ("LEDGER_DAYS", "LedgerDays", CORE),
            ("GIVE_UP_AFTER_DAYS", "GiveUpAfterDays", CORE),
            ("GIVE_UP_AFTER_DAYS", "GiveUpAfterDays", DESTINATION),
            ("TIMEOUT_SECONDS", "TimeoutSeconds", DESTINATION),
        ] {
            let (_, value) = nested.split_once(&format!("\n  {parameter}:\n")).unwrap();
            let value = value.lines().find_map(|line| line.strip_prefix("    Default: ")).unwrap();
            let line = format!("\n        {variable}: \"{}\"\n", value.trim_matches('"'));
            assert!(template.contains(&line), "not {line}");
        }
        assert!(template.contains("\n    Timeout: 60\n"));
    }

    #[test]
    fn a_destination_takes_few_lines_of_template() {
        for external in [false, true] {
            let added = Added { name: "orders".into(), external, sequenced: true };
            let lines = added.resources().lines().count();
            assert!(lines <= TEMPLATE_LINES_MAX, "external: {external}: {lines} lines");
        }
    }
}
