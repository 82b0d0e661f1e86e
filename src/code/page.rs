//! The page of a code: what a user reads who has just met it.

use std::fmt::Write;

use super::Code;

/// What each page leads to.
const ALL: (&str, &str) = ("All codes", "README.md");

/// The texts of a page in Markdown, beside what the list of codes says. White space around them is left out.
pub(super) struct Page {
    /// Where one meets the code, beside HTTP.
    pub(super) seen: &'static [&'static str],
    pub(super) cause: &'static str,
    pub(super) fix: &'static str,
    pub(super) mistake: &'static str,
    /// What to read on, each with its path from `docs/errors/`.
    pub(super) see: &'static [(&'static str, &'static str)],
}

impl Page {
    /// To be filled in.
    pub(super) const NEW: Page = Page { seen: &[], cause: "", fix: "", mistake: "", see: &[] };
}

impl Code {
    /// What leads to it.
    pub fn cause(self) -> &'static str {
        self.texts().cause.trim_ascii()
    }

    /// What to do.
    pub fn fix(self) -> &'static str {
        self.texts().fix.trim_ascii()
    }

    /// The mistake that most often leads to it, or that is most often made then.
    pub fn mistake(self) -> &'static str {
        self.texts().mistake.trim_ascii()
    }

    /// Its page in Markdown, as `handover explain` prints it and `docs/errors/` has it, from where its links lead.
    pub fn page(self) -> String {
        let mut page = format!("# `{self}`\n\n{}\n\nWhere you meet it:\n\n", self.title());
        if let Some(status) = self.http_status() {
            writeln!(page, "- HTTP: an answer with the status {status}").expect("a string takes all");
        }
        for place in self.texts().seen {
            writeln!(page, "- {place}").expect("a string takes all");
        }
        for (heading, text) in
            [("Cause", self.cause()), ("Fix", self.fix()), ("Common mistake", self.mistake())]
        {
            write!(page, "\n## {heading}\n\n{text}\n").expect("a string takes all");
        }
        page += "\n## See also\n\n";
        for (text, path) in self.texts().see.iter().chain(&[ALL]) {
            writeln!(page, "- [{text}]({path})").expect("a string takes all");
        }
        page
    }
}
