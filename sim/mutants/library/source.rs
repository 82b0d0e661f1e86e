//! The parts of a source file, by its lines, as rustfmt lays them out.

/// Without the items at the outermost level that are for tests: a mutant's text may occur in them, too.
pub fn without_tests(text: &str) -> String {
    let mut kept = String::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if ["#[cfg(test)]", "#[cfg(doctest)]"].contains(&line) {
            skip_item(&mut lines);
        } else {
            kept += line;
            kept += "\n";
        }
    }
    kept
}

/// Skips an item: to the end of its first line, or to the brace that closes it.
fn skip_item<'a>(lines: &mut impl Iterator<Item = &'a str>) {
    let is_attribute = |line: &str| line.starts_with("#[") || line.starts_with("//");
    let first = lines.find(|line| !is_attribute(line)).unwrap_or_default();
    if !first.ends_with([';', '}']) {
        lines.find(|line| line.starts_with('}'));
    }
}

/// The file's inner documentation and attributes, which have to come first, and what follows them.
pub fn split_head(text: &str) -> (&str, &str) {
    let mut end = 0;
    let mut is_inside = false;
    for line in text.split_inclusive('\n') {
        let is_head =
            is_inside || line.trim().is_empty() || ["//", "#!["].iter().any(|head| line.starts_with(head));
        // Documentation and attributes of the first item belong to it.
        if !is_head || line.starts_with("///") {
            break;
        }
        is_inside = (is_inside || line.starts_with("#![")) && !line.trim_end().ends_with(']');
        end += line.len();
    }
    text.split_at(end)
}
