//! Adds a destination to the routes and to the template that a user has, at the places that are marked there. A file
//! whose place is not found is left as it is: the user is told what to add.

use std::collections::BTreeSet;

use handover::Routes;
use handover::templates::{NAMES, deployed};
use serde_json::Value;

use crate::skeleton::{Added, ToDo};

/// Before this line of the template, resources are added.
const RESOURCES: &str = "# handover: destinations";

/// A text with what could be added, and what is left to do by hand.
pub struct Edited {
    pub text: String,
    pub by_hand: Vec<ToDo>,
}

/// The routes with that of the destination.
pub fn routes(text: &str, added: &Added) -> Edited {
    match with_route(text, &added.route()) {
        Some(text) => Edited { text, by_hand: vec![] },
        None => {
            let left = ToDo::new("routes.json", format!("add the route\n{}", added.route()));
            Edited { text: text.to_owned(), by_hand: vec![left] }
        }
    }
}

/// The last brace ends the object, since JSON has no comments.
fn with_route(text: &str, route: &str) -> Option<String> {
    let (before, after) = text.rsplit_once('}')?;
    let before = before.trim_end();
    let comma = if before.ends_with('{') { "" } else { "," };
    let edited = format!("{before}{comma}\n  {route}\n}}{after}");
    edited.parse::<Routes>().is_ok().then_some(edited)
}

/// Whether the routes have the type, or name the destination.
pub fn is_routed(text: &str, added: &Added) -> bool {
    let types: Value = serde_json::from_str(text).unwrap_or_default();
    let is_destination = |routes: Routes| routes.destinations().contains(&*added.name);
    types.get(added.r#type()).is_some() || text.parse().is_ok_and(is_destination)
}

/// The template with the name of the destination, and with its resources.
pub fn template(text: &str, added: &Added) -> Edited {
    let mut edited = Edited { text: text.to_owned(), by_hand: vec![] };
    let mut by_hand = |text| edited.by_hand.push(ToDo::new("template.yaml", text));
    match with_name(text, &added.name) {
        Some(text) => edited.text = text,
        None => by_hand(format!(
            "add `{}` to the parameter Destinations of the application of core.yaml",
            added.name
        )),
    }
    // Of a repository that an earlier release wrote.
    if !text.contains("\n  AlarmTopicArn:") {
        by_hand(
            "add the parameter AlarmTopicArn, as `handover new` writes it: the resources refer to it"
                .to_owned(),
        );
    }
    if added.external && !text.contains("TIMEOUT_SECONDS:") {
        by_hand("add TIMEOUT_SECONDS to the variables of Globals, as `handover new` writes it".to_owned());
    }
    let mark = edited.text.lines().find(|line| line.trim() == RESOURCES).map(str::to_owned);
    match mark {
        Some(mark) => {
            edited.text = edited.text.replacen(&mark, &format!("{}\n{mark}", added.resources()), 1);
        }
        None => by_hand(format!("add to Resources\n{}", added.resources())),
    }
    edited
}

fn with_name(text: &str, name: &str) -> Option<String> {
    let mut names = deployed(text).ok()?;
    names.push(name);
    let line = text.lines().find(|line| line.trim_end().ends_with(NAMES))?;
    let (key, _) = line.split_once(':')?;
    Some(text.replacen(line, &format!("{key}: {} {NAMES}", names.join(",")), 1))
}

/// The first resource of the destination whose name the template has already, as a resource, a parameter or a condition.
pub fn resource_there(text: &str, added: &Added) -> Option<String> {
    let there = names(text);
    names(&added.resources()).into_iter().find(|name| there.contains(name)).map(str::to_owned)
}

/// The names that are indented as those of resources, parameters and conditions.
fn names(template: &str) -> BTreeSet<&str> {
    template
        .lines()
        .filter_map(|line| line.strip_prefix("  ")?.split_once(':'))
        .map(|(name, _)| name)
        .filter(|name| name.starts_with(|first: char| first.is_ascii_alphanumeric()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEMPLATE: &str = "Parameters:\n  AlarmTopicArn:\n    Type: String\nResources:\n  Handover:\n    Destinations: \"\" # handover: names\n  # handover: destinations\n";

    fn added(name: &str) -> Added {
        Added { name: name.into(), external: false, sequenced: true }
    }

    #[test]
    fn a_route_is_added_and_the_others_stay_as_they_were_written() {
        let first = routes("{\n}\n", &added("orders"));
        assert_eq!(
            first.text,
            "{\n  \"orders.requested\": { \"kind\": \"command\", \"destinations\": [\"orders\"], \"sequenced\": [\"orders\"] }\n}\n"
        );
        let second = routes(&first.text, &added("mail"));
        assert!(second.text.starts_with(first.text.trim_end_matches("\n}\n")), "{}", second.text);
        assert!(is_routed(&second.text, &added("orders")) && is_routed(&second.text, &added("mail")));
        assert!(!is_routed(&second.text, &added("books")));
    }

    #[test]
    fn the_template_has_names_and_resources_at_their_marks() {
        let first = template(TEMPLATE, &added("orders"));
        let second = template(&first.text, &added("mail_2"));
        assert!(first.by_hand.is_empty() && second.by_hand.is_empty());
        assert!(
            second.text.contains("    Destinations: orders,mail_2 # handover: names\n"),
            "{}",
            second.text
        );
        assert!(second.text.ends_with("\n  # handover: destinations\n"));
        assert!(second.text.starts_with(first.text.split_once("Destinations: ").unwrap().0));
        assert_eq!(resource_there(&second.text, &added("mail_2")).as_deref(), Some("Mail2"));
        assert_eq!(resource_there(&second.text, &added("books")), None);
    }

    #[test]
    fn where_no_place_is_found_the_file_stays_and_the_user_is_told() {
        let changed = "Resources:\n  Handover:\n    Destinations: !Join [\",\", []] # handover: names\n";
        let edited = template(changed, &added("orders"));
        assert_eq!((edited.text.as_str(), edited.by_hand.len()), (changed, 3));
        assert!(edited.by_hand[1].text.contains("AlarmTopicArn"), "{}", edited.by_hand[1]);
        assert!(edited.by_hand[2].text.contains("OrdersDestination:"), "{}", edited.by_hand[2]);
        let edited = routes("[]", &added("orders"));
        assert_eq!((edited.text.as_str(), edited.by_hand.len()), ("[]", 1));
    }
}
