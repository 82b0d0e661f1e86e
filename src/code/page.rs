//! The page of a code: what a user reads who has just met it.

/// What each page leads to.
const ALL: (&str, &str) = ("All codes", "README.md");

/// The texts of a page in Markdown, beside what the list of codes says.
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

    /// The page in Markdown, with what the list says of its code.
    pub(super) fn markdown(&self, code: &str, title: &str, http_status: Option<u16>) -> String {
        let Page { seen, cause, fix, mistake, see } = self;
        let http = http_status.map(|status| format!("HTTP: an answer with the status {status}"));
        let seen = http.into_iter().chain(seen.iter().map(ToString::to_string));
        let seen: String = seen.map(|place| format!("- {place}\n")).collect();
        let [cause, fix, mistake] = [cause, fix, mistake].map(|text| text.trim_ascii());
        let see = see.iter().chain(&[ALL]).map(|(text, path)| format!("- [{text}]({path})\n"));
        let see: String = see.collect();
        format!(
            "# `{code}`\n\n{title}\n\nWhere you meet it:\n\n{seen}\n## Cause\n\n{cause}\n\n## Fix\n\n{fix}\n\n\
             ## Common mistake\n\n{mistake}\n\n## See also\n\n{see}"
        )
    }
}
