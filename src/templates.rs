//! The CloudFormation templates that a stack is built on, and the policies of its users, of this release: write them into
//! your repository, or let `handover new` do it.

/// Tables, stream, accept, relay, reconcile, and their alarms.
pub const CORE: &str = include_str!("../infra/core.yaml");

/// The HTTP interface: its function and URL, and its alarms.
pub const API: &str = include_str!("../infra/api.yaml");

/// What belongs to a destination: its queues, event sources, alarms, and the rights that its function needs.
pub const DESTINATION: &str = include_str!("../infra/destination.yaml");

/// The policy of an operator, who works with the command. It names a stack `handover`.
pub const OPERATOR_POLICY: &str = include_str!("../infra/policies/operator.json");

/// The policy of a producer, who sends to the upstream queue or has an outbox. It names a stack `handover`.
pub const PRODUCER_POLICY: &str = include_str!("../infra/policies/producer.json");

/// What the line with the names of the deployed destinations ends with, in a template that `handover new` wrote.
pub const NAMES: &str = "# handover: names";

/// The destinations that a template deploys, as its line with [`NAMES`] says.
///
/// # Errors
/// Why the template does not say it: a user has changed that line.
pub fn deployed(template: &str) -> Result<Vec<&str>, &'static str> {
    let line = template.lines().find_map(|line| line.trim_end().strip_suffix(NAMES));
    let line = line.ok_or("has no line that ends with `# handover: names`")?;
    let names = line.split_once(':').map(|(_, names)| names.trim());
    let is_plain = |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b',' | b' ' | b'"' | b'\'');
    // An expression may also begin in the next line.
    let names = names.filter(|names| !names.is_empty() && names.bytes().all(is_plain));
    let names =
        names.ok_or("has something else than names in the line that ends with `# handover: names`")?;
    Ok(names.trim_matches(['"', '\'']).split(',').map(str::trim).filter(|name| !name.is_empty()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_are_those_that_accept_takes() {
        for (names, expected) in [
            ("\"\"", &[][..]),
            ("orders", &["orders"]),
            ("orders,mail_2", &["orders", "mail_2"]),
            ("\"orders, mail_2\"", &["orders", "mail_2"]),
            ("',orders, '", &["orders"]),
        ] {
            let template = format!("a:\n    Destinations: {names} # handover: names \n  b: c\n");
            assert_eq!(deployed(&template).as_deref(), Ok(expected), "{names}");
        }
    }

    #[test]
    fn what_a_user_wrote_in_place_of_names_is_said() {
        let said = |line: &str| deployed(line).unwrap_err();
        assert!(said("Destinations: orders").starts_with("has no line"));
        for expression in
            ["", "!Join [\",\", [orders, mail]]", "!Sub orders", "!If [IsLocal, orders, mail]", "[orders]"]
        {
            let problem = said(&format!("Destinations: {expression} # handover: names"));
            assert!(problem.starts_with("has something else than names"), "{expression}: {problem}");
        }
    }
}
