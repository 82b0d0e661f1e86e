//! Rust source as words and comments: as much of the language as the checks need.

use std::mem::take;

/// An identifier, a number, `::`, any other sign, or `"` in place of a literal.
#[derive(Clone, Debug, PartialEq)]
pub struct Token {
    pub text: String,
    pub line: usize,
}

/// The text of a comment, and the line on which it begins.
#[derive(Debug, PartialEq)]
pub struct Comment {
    pub text: String,
    pub line: usize,
}

/// Splits a file into its tokens and its comments, documentation included.
pub fn split(text: &str) -> (Vec<Token>, Vec<Comment>) {
    let mut reader = Reader { rest: text, line: 1, tokens: Vec::new(), comments: Vec::new() };
    while let Some(next) = reader.rest.chars().next() {
        reader.step(next);
    }
    (reader.tokens, reader.comments)
}

struct Reader<'a> {
    rest: &'a str,
    line: usize,
    tokens: Vec<Token>,
    comments: Vec<Comment>,
}

impl<'a> Reader<'a> {
    fn step(&mut self, next: char) {
        if next.is_whitespace() {
            self.take(next.len_utf8());
        } else if self.rest.starts_with("//") {
            let line = self.line;
            let text = self.take(self.rest.find('\n').unwrap_or(self.rest.len()));
            self.comments.push(Comment { text: text.to_owned(), line });
        } else if self.rest.starts_with("/*") {
            let line = self.line;
            let text = self.take(block_comment(self.rest));
            self.comments.push(Comment { text: text.to_owned(), line });
        } else if let Some(length) = literal(self.rest) {
            let line = self.line;
            self.take(length);
            self.tokens.push(Token { text: "\"".to_owned(), line });
        } else if next == '\'' {
            self.take(1 + word(&self.rest[1..])); // a lifetime
        } else {
            let length = match word(self.rest) {
                0 if self.rest.starts_with("::") => 2,
                0 => next.len_utf8(),
                length => length,
            };
            let line = self.line;
            let text = self.take(length).to_owned();
            self.tokens.push(Token { text, line });
        }
    }

    fn take(&mut self, length: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at(length);
        self.line += taken.matches('\n').count();
        self.rest = rest;
        taken
    }
}

/// The length of the identifier or number at the start, 0 where there is none.
fn word(text: &str) -> usize {
    text.find(|letter: char| !letter.is_alphanumeric() && letter != '_').unwrap_or(text.len())
}

fn block_comment(text: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < text.len() {
        if text[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if text[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += text[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    at
}

/// The length of the string or character literal at the start.
fn literal(text: &str) -> Option<usize> {
    let prefix = ["br", "cr", "r", "b", "c"].into_iter().find(|prefix| {
        text.strip_prefix(prefix).is_some_and(|rest| rest.starts_with(['"', '\'']) || rest.starts_with('#'))
    });
    let prefix = prefix.unwrap_or("");
    let rest = &text[prefix.len()..];
    if prefix.ends_with('r') {
        let hashes = rest.len() - rest.trim_start_matches('#').len();
        let body = rest[hashes..].strip_prefix('"')?; // else a raw identifier
        let end = format!("\"{}", "#".repeat(hashes));
        let closed = body.find(&end).map_or(body.len(), |at| at + end.len());
        return Some(prefix.len() + hashes + 1 + closed);
    }
    if let Some(body) = rest.strip_prefix('"') {
        return Some(prefix.len() + 1 + closing(body, '"'));
    }
    let body = rest.strip_prefix('\'')?;
    let first = body.chars().next()?;
    let character = first == '\\' || body[first.len_utf8()..].starts_with('\'');
    character.then(|| prefix.len() + 1 + closing(body, '\''))
}

/// The length up to and including the quote that is not escaped.
fn closing(body: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, letter) in body.char_indices() {
        match letter {
            _ if take(&mut escaped) => {}
            '\\' => escaped = true,
            _ if letter == quote => return at + 1,
            _ => {}
        }
    }
    body.len()
}

/// Leaves out each item that is compiled for tests or documentation tests only.
pub fn without_tests(tokens: &[Token]) -> Vec<Token> {
    let mut kept = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        match attribute(&tokens[at..]) {
            Some(length) if is_for_tests(&tokens[at..at + length]) => {
                at += length;
                while let Some(length) = attribute(&tokens[at..]) {
                    at += length;
                }
                at += item(&tokens[at..]);
            }
            Some(length) => {
                kept.extend_from_slice(&tokens[at..at + length]);
                at += length;
            }
            None => {
                kept.push(tokens[at].clone());
                at += 1;
            }
        }
    }
    kept
}

/// The length of the attribute at the start, such as `#[cfg(test)]`.
fn attribute(tokens: &[Token]) -> Option<usize> {
    let begins = tokens.len() > 1 && tokens[0].text == "#" && tokens[1].text == "[";
    begins.then(|| 1 + group(&tokens[1..]))
}

fn is_for_tests(attribute: &[Token]) -> bool {
    let has = |word: &str| attribute.iter().any(|token| token.text == word);
    attribute[2].text == "cfg" && (has("test") || has("doctest")) && !has("any") && !has("not")
}

/// The length of an item: up to its `;`, or to the end of its braces.
fn item(tokens: &[Token]) -> usize {
    let mut at = 0;
    while at < tokens.len() {
        match tokens[at].text.as_str() {
            ";" => return at + 1,
            "{" => return at + group(&tokens[at..]),
            "(" | "[" => at += group(&tokens[at..]),
            _ => at += 1,
        }
    }
    at
}

/// The length of the group in brackets of any kind at the start.
pub fn group(tokens: &[Token]) -> usize {
    let mut depth = 0;
    for (at, token) in tokens.iter().enumerate() {
        match token.text.as_str() {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at + 1;
        }
    }
    tokens.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> String {
        let kept = without_tests(&split(text).0);
        kept.iter().map(|token| token.text.as_str()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn comments_and_literals_are_no_code() {
        let text = r####"
            let a = "crate::x \" // no comment"; // crate::y
            let b = r#"super::z " "#; /* crate::u /* nested */ crate::v */
            let c = ['"', '\'', b'"', 'é'];
            fn d<'a>(e: &'a str) { r#use }
        "####;
        assert_eq!(
            words(text),
            "let a = \" ; let b = \" ; let c = [ \" , \" , \" , \" ] ; fn d < > ( e : & str ) { r # use }"
        );
        let comments = split(text).1;
        assert_eq!((comments[0].line, comments[0].text.as_str()), (2, "// crate::y"));
        assert_eq!(
            (comments[1].line, comments[1].text.as_str()),
            (3, "/* crate::u /* nested */ crate::v */")
        );
    }

    #[test]
    fn tests_are_left_out() {
        let text = "#[cfg(test)] #[path = \"x\"] mod a { fn b() {} } mod c; #[cfg(test)] mod d; \
                    #[cfg(not(test))] mod e; #[cfg(doctest)] struct F; #[cfg(feature = \"test\")] mod g;";
        assert_eq!(
            words(text),
            "mod c ; # [ cfg ( not ( test ) ) ] mod e ; # [ cfg ( feature = \" ) ] mod g ;"
        );
    }

    #[test]
    fn a_line_is_counted_from_one() {
        let tokens = split("a\n\nb \"x\ny\" c").0;
        assert_eq!(tokens.iter().map(|token| token.line).collect::<Vec<_>>(), [1, 3, 3, 4]);
    }
}
