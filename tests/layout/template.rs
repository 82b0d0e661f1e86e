//! What the template says in two places agrees: each alarm names a section of the runbooks, and each destination that
//! accept knows has a dead-letter queue that reconcile knows.

use std::collections::{BTreeMap, BTreeSet};

use crate::links::anchors;
use crate::tree::Tree;

const TEMPLATE: &str = "template.yaml";
const RUNBOOKS: &str = "docs/runbooks.md";
const ALARM: &str = "Type: AWS::CloudWatch::Alarm";

pub fn check(tree: &Tree) -> Vec<String> {
    let (template, runbooks) = (&tree.files[TEMPLATE], &tree.files[RUNBOOKS]);
    let mut findings = alarms(template, &anchors(runbooks));
    findings.extend(destinations(template));
    findings
}

/// The alarms without a section that says what to do.
fn alarms(template: &str, sections: &BTreeSet<String>) -> Vec<String> {
    let mut findings = Vec::new();
    for resource in template.split(ALARM).skip(1) {
        let name = value(resource, "AlarmName: ").unwrap_or_default();
        let section = value(resource, "AlarmDescription: ").and_then(|text| text.split_once(RUNBOOKS));
        match section.and_then(|(_, section)| section.strip_prefix('#')) {
            Some(section) if sections.contains(section) => (),
            Some(section) => findings.push(format!(
                "{TEMPLATE}: the alarm {name} names `{section}`, which is no section of {RUNBOOKS}\n  -> write that section"
            )),
            None => findings.push(format!(
                "{TEMPLATE}: the description of the alarm {name} ends without {RUNBOOKS}#SECTION\n  -> add it"
            )),
        }
    }
    findings
}

/// The rest of the line after a name.
fn value<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.split_once(name)?.1.lines().next()
}

/// The cases in which accept and reconcile know other destinations.
fn destinations(template: &str) -> Vec<String> {
    let of_accept = cases(template, "DESTINATIONS: !If").map(|names| {
        let names = names.split(',').filter(|name| !name.contains("OtherDestinations"));
        names.map(str::to_owned).collect::<BTreeSet<_>>()
    });
    let of_reconcile = cases(template, "DEAD_LETTER_QUEUES: !If").map(|queues| {
        let queues: BTreeMap<String, String> = serde_json::from_str(queues).expect("a JSON object");
        queues.into_keys().collect::<BTreeSet<_>>()
    });
    let other = of_accept.zip(of_reconcile).filter(|(accept, reconcile)| accept != reconcile);
    let said = |(accept, reconcile)| {
        format!(
            "{TEMPLATE}: DESTINATIONS of accept has {accept:?}, and DEAD_LETTER_QUEUES of reconcile {reconcile:?}\n  -> name the same in both: reconcile gives up nothing at a destination whose queue it does not know"
        )
    };
    other.map(said).collect()
}

/// The two texts of a variable that depends on a condition.
fn cases<'a>(template: &'a str, variable: &str) -> impl Iterator<Item = &'a str> {
    let (_, after) = template.split_once(variable).expect("the variable");
    after.lines().skip(2).take(2).map(|line| line.trim().trim_start_matches("- !Sub ").trim_matches('\''))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alarm_has_a_section_that_says_what_to_do() {
        let sections = BTreeSet::from(["late".to_owned()]);
        let alarm = |description: &str| {
            let template = format!("{ALARM}\n  AlarmName: a\n  AlarmDescription: {description}\n");
            alarms(&template, &sections).len()
        };
        assert_eq!(alarm("It is late. docs/runbooks.md#late"), 0);
        assert_eq!(alarm("It is late. docs/runbooks.md#later"), 1);
        assert_eq!(alarm("It is late."), 1);
    }

    #[test]
    fn accept_and_reconcile_know_the_same_destinations() {
        let template = |queues: &str| {
            format!(
                "DESTINATIONS: !If\n - C\n - !Sub a,b,${{OtherDestinations}}\n - !Sub a,${{OtherDestinations}}\n\
                 DEAD_LETTER_QUEUES: !If\n - C\n - !Sub '{queues}'\n - !Sub '{{\"a\":\"${{A}}\"}}'\n"
            )
        };
        assert_eq!(destinations(&template(r#"{"a":"${A}","b":"${B}"}"#)), Vec::<String>::new());
        let missing = destinations(&template(r#"{"a":"${A}"}"#));
        assert!(missing.len() == 1 && missing[0].contains(r#"{"a", "b"}"#), "{missing:?}");
    }
}
