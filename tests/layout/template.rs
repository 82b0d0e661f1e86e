//! What the templates say in two places agrees: each alarm names a section of the runbooks, and a parameter of several
//! templates has one default.

use std::collections::{BTreeMap, BTreeSet};

use crate::links::anchors;
use crate::tree::Tree;

const TEMPLATES: [&str; 4] = ["template.yaml", "infra/core.yaml", "infra/destination.yaml", "infra/api.yaml"];
const RUNBOOKS: &str = "docs/runbooks.md";
const ALARM: &str = "Type: AWS::CloudWatch::Alarm";

pub fn check(tree: &Tree) -> Vec<String> {
    let templates = TEMPLATES.map(|file| (file, &*tree.files[file]));
    let sections = anchors(&tree.files[RUNBOOKS]);
    let mut findings = defaults(&templates);
    findings.extend(templates.iter().flat_map(|(file, template)| alarms(file, template, &sections)));
    findings
}

/// The alarms without a section that says what to do.
fn alarms(file: &str, template: &str, sections: &BTreeSet<String>) -> Vec<String> {
    let mut findings = Vec::new();
    for resource in template.split(ALARM).skip(1) {
        let name = value(resource, "AlarmName: ").unwrap_or_default();
        let section = value(resource, "AlarmDescription: ").and_then(|text| text.split_once(RUNBOOKS));
        match section.and_then(|(_, section)| section.strip_prefix('#')) {
            Some(section) if sections.contains(section) => (),
            Some(section) => findings.push(format!(
                "{file}: the alarm {name} names `{section}`, which is no section of {RUNBOOKS}\n  -> write that section"
            )),
            None => findings.push(format!(
                "{file}: the description of the alarm {name} ends without {RUNBOOKS}#SECTION\n  -> add it"
            )),
        }
    }
    findings
}

/// The rest of the line after a name.
fn value<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.split_once(name)?.1.lines().next()
}

/// The parameters that two templates have with other defaults. A template that leaves one out relies on the other's.
fn defaults(templates: &[(&str, &str)]) -> Vec<String> {
    let mut first: BTreeMap<&str, (&str, &str)> = BTreeMap::new();
    let mut findings = Vec::new();
    for (file, template) in templates {
        for (name, default) in parameters(template) {
            let (before, of_before) = *first.entry(name).or_insert((file, default));
            if of_before != default {
                findings.push(format!(
                    "{file}: the default of {name} is {default}, and {of_before} in {before}\n  -> choose one"
                ));
            }
        }
    }
    findings
}

/// The parameters that have a default, with it.
fn parameters(template: &str) -> impl Iterator<Item = (&str, &str)> {
    let (_, after) = template.split_once("\nParameters:\n").expect("parameters");
    let mut name = "";
    after.lines().take_while(|line| line.is_empty() || line.starts_with(' ')).filter_map(move |line| {
        let of_parameter = line.strip_prefix("  ").filter(|rest| !rest.starts_with([' ', '#']));
        name = of_parameter.and_then(|rest| rest.strip_suffix(':')).unwrap_or(name);
        line.strip_prefix("    Default: ").map(|default| (name, default))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alarm_has_a_section_that_says_what_to_do() {
        let sections = BTreeSet::from(["late".to_owned()]);
        let alarm = |description: &str| {
            let template = format!("{ALARM}\n  AlarmName: a\n  AlarmDescription: {description}\n");
            alarms("a.yaml", &template, &sections).len()
        };
        assert_eq!(alarm("It is late. docs/runbooks.md#late"), 0);
        assert_eq!(alarm("It is late. docs/runbooks.md#later"), 1);
        assert_eq!(alarm("It is late."), 1);
    }

    #[test]
    fn a_parameter_has_one_default() {
        let template = |days: u32| {
            format!(
                "Parameters:\n  A:\n    Type: String\n  Days:\n    Default: {days}\n\nConditions:\n  Days:\n    Default: 0\n"
            )
        };
        let templates = [4, 4, 7].map(|days| format!("\n{}", template(days)));
        let found = |second: usize| defaults(&[("one", &templates[0]), ("two", &templates[second])]).len();
        assert_eq!((found(1), found(2)), (0, 1));
    }
}
