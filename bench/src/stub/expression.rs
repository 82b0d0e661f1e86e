//! DynamoDB's conditions and updates, as expressions and in PartiQL: the subset that this project and its
//! peers send, evaluated fast enough not to affect their figures.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::str::FromStr;

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};

/// A value as DynamoDB writes it: `{"S": "text"}`.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub enum Attribute {
    S(String),
    N(String),
    B(String),
    #[serde(rename = "BOOL")]
    Bool(bool),
    #[serde(rename = "NULL")]
    Null(bool),
    M(Item),
    L(Vec<Attribute>),
}

pub type Item = BTreeMap<String, Attribute>;

/// The placeholders of an expression.
#[derive(Default)]
pub struct Placeholders<'a> {
    pub names: Option<&'a HashMap<String, String>>,
    pub values: Option<&'a Item>,
    /// The values of the question marks of a PartiQL statement, in their order.
    pub parameters: &'a [Attribute],
}

/// An UPDATE statement of PartiQL.
pub struct Statement<'a> {
    pub table: &'a str,
    pub update: Update<'a>,
    pub condition: Condition<'a>,
}

#[derive(Debug)]
pub enum Condition<'a> {
    Always,
    And(Box<Condition<'a>>, Box<Condition<'a>>),
    Or(Box<Condition<'a>>, Box<Condition<'a>>),
    Not(Box<Condition<'a>>),
    Is(Operand<'a>, Comparison, Operand<'a>),
    Exists(Path<'a>),
}

#[derive(Debug)]
pub enum Comparison {
    Equal,
    Less,
    Greater,
}

#[derive(Debug)]
pub enum Operand<'a> {
    Path(Path<'a>),
    Value(Cow<'a, Attribute>),
    Sum(Box<Operand<'a>>, i64, Box<Operand<'a>>),
    IfNotExists(Path<'a>, Box<Operand<'a>>),
}

type Path<'a> = Vec<&'a str>;

/// What an update sets, adds to and removes.
#[derive(Debug, Default)]
pub struct Update<'a> {
    sets: Vec<(Path<'a>, Operand<'a>)>,
    adds: Vec<(Path<'a>, Operand<'a>)>,
    removes: Vec<Path<'a>>,
}

impl<'a> Condition<'a> {
    pub fn parse(text: &'a str, placeholders: &Placeholders<'a>) -> Result<Condition<'a>> {
        let mut parser = Parser::new(text, placeholders);
        let condition = parser.condition()?;
        ensure!(parser.is_at_end(), "text after the condition: {text}");
        Ok(condition)
    }

    pub fn holds(&self, item: &Item) -> Result<bool> {
        Ok(match self {
            Condition::Always => true,
            Condition::And(a, b) => a.holds(item)? && b.holds(item)?,
            Condition::Or(a, b) => a.holds(item)? || b.holds(item)?,
            Condition::Not(a) => !a.holds(item)?,
            Condition::Exists(path) => find(item, path).is_some(),
            Condition::Is(a, comparison, b) => match (a.of(item)?, b.of(item)?) {
                (Some(a), Some(b)) => match comparison {
                    Comparison::Equal => a == b,
                    Comparison::Less => order(&a, &b)?.is_lt(),
                    Comparison::Greater => order(&a, &b)?.is_gt(),
                },
                _ => false,
            },
        })
    }

    /// The value that the condition requires of this attribute. In PartiQL this is how the key is given.
    pub fn wanted(&self, name: &str) -> Option<&Attribute> {
        match self {
            Condition::And(a, b) => a.wanted(name).or_else(|| b.wanted(name)),
            Condition::Is(Operand::Path(path), Comparison::Equal, Operand::Value(value)) => {
                (path[..] == [name]).then_some(value)
            }
            Condition::Always
            | Condition::Or(..)
            | Condition::Not(_)
            | Condition::Is(..)
            | Condition::Exists(_) => None,
        }
    }
}

impl Operand<'_> {
    fn of<'a>(&'a self, item: &'a Item) -> Result<Option<Cow<'a, Attribute>>> {
        Ok(match self {
            Operand::Path(path) => find(item, path).map(Cow::Borrowed),
            Operand::Value(value) => Some(Cow::Borrowed(value)),
            Operand::IfNotExists(path, otherwise) => match find(item, path) {
                Some(value) => Some(Cow::Borrowed(value)),
                None => otherwise.of(item)?,
            },
            Operand::Sum(a, sign, b) => {
                let value = |operand: &Operand| -> Result<i64> {
                    number(operand.of(item)?.context("a sum with an attribute that does not exist")?.as_ref())
                };
                Some(Cow::Owned(Attribute::N((value(a)? + sign * value(b)?).to_string())))
            }
        })
    }
}

impl<'a> Update<'a> {
    pub fn parse(text: &'a str, placeholders: &Placeholders<'a>) -> Result<Update<'a>> {
        let mut parser = Parser::new(text, placeholders);
        let update = parser.update()?;
        ensure!(parser.is_at_end(), "text after the update: {text}");
        Ok(update)
    }

    pub fn apply(&self, item: &mut Item) -> Result<()> {
        // All operands refer to the item before the update.
        let mut values = Vec::with_capacity(self.sets.len() + self.adds.len());
        for (path, operand) in &self.sets {
            let value = operand.of(item)?.context("set to an attribute that does not exist")?;
            values.push((path, value.into_owned()));
        }
        for (path, operand) in &self.adds {
            let held = find(item, path).map_or(Ok(0), number)?;
            let more: i64 =
                number(operand.of(item)?.context("added an attribute that does not exist")?.as_ref())?;
            values.push((path, Attribute::N((held + more).to_string())));
        }
        for (path, value) in values {
            set(item, path, value)?;
        }
        for path in &self.removes {
            let (name, parents) = path.split_last().context("an empty path")?;
            parent(item, parents)?.remove(*name);
        }
        Ok(())
    }
}

impl<'a> Statement<'a> {
    pub fn parse(text: &'a str, parameters: &'a [Attribute]) -> Result<Statement<'a>> {
        let placeholders = Placeholders { parameters, ..Placeholders::default() };
        let mut parser = Parser::new(text, &placeholders);
        ensure!(parser.takes("UPDATE"), "not an update: {text}");
        let Token::Name(table) = parser.next()? else { bail!("no table: {text}") };
        let update = parser.update()?;
        ensure!(parser.takes("WHERE"), "no condition: {text}");
        let condition = parser.condition()?;
        ensure!(parser.is_at_end(), "text after the update: {text}");
        Ok(Statement { table, update, condition })
    }
}

fn find<'a>(item: &'a Item, path: &[&str]) -> Option<&'a Attribute> {
    let (first, rest) = path.split_first()?;
    rest.iter().try_fold(item.get(*first)?, |value, name| match value {
        Attribute::M(map) => map.get(*name),
        _ => None,
    })
}

fn parent<'a>(item: &'a mut Item, path: &[&str]) -> Result<&'a mut Item> {
    path.iter().try_fold(item, |item, name| match item.get_mut(*name) {
        Some(Attribute::M(map)) => Ok(map),
        _ => bail!("not a map: {name}"),
    })
}

fn set(item: &mut Item, path: &[&str], value: Attribute) -> Result<()> {
    let (name, parents) = path.split_last().context("an empty path")?;
    parent(item, parents)?.insert((*name).to_owned(), value);
    Ok(())
}

/// A number. Some peers send times with a fraction.
fn number<T: FromStr>(value: &Attribute) -> Result<T> {
    let Attribute::N(number) = value else { bail!("not a number") };
    number.parse().ok().with_context(|| format!("not a number of this kind: {number}"))
}

fn order(a: &Attribute, b: &Attribute) -> Result<std::cmp::Ordering> {
    match (a, b) {
        (Attribute::S(a), Attribute::S(b)) => Ok(a.cmp(b)),
        _ => Ok(number::<f64>(a)?.total_cmp(&number(b)?)),
    }
}

#[derive(Clone, Debug, PartialEq)]
enum Token<'a> {
    /// A quoted name, or the name of a placeholder.
    Name(&'a str),
    /// A keyword, a function or a plain name.
    Word(&'a str),
    Value(Cow<'a, Attribute>),
    Sign(char),
}

/// Parses from left to right with one token of lookahead.
struct Parser<'a> {
    rest: &'a str,
    names: Option<&'a HashMap<String, String>>,
    values: Option<&'a Item>,
    parameters: std::slice::Iter<'a, Attribute>,
    ahead: Option<Token<'a>>,
}

impl<'a> Parser<'a> {
    fn new(text: &'a str, placeholders: &Placeholders<'a>) -> Parser<'a> {
        let Placeholders { names, values, parameters } = *placeholders;
        Parser { rest: text, names, values, parameters: parameters.iter(), ahead: None }
    }

    fn is_at_end(&mut self) -> bool {
        self.ahead.is_none() && self.rest.trim_start().is_empty()
    }

    fn peek(&mut self) -> Result<Option<&Token<'a>>> {
        if self.ahead.is_none() && !self.is_at_end() {
            self.ahead = Some(self.read()?);
        }
        Ok(self.ahead.as_ref())
    }

    fn next(&mut self) -> Result<Token<'a>> {
        self.peek()?;
        self.ahead.take().context("the text ends too soon")
    }

    /// Consumes this word if it is next.
    fn takes(&mut self, word: &str) -> bool {
        let is_next = matches!(self.peek(), Ok(Some(Token::Word(next))) if next.eq_ignore_ascii_case(word));
        if is_next {
            self.ahead = None;
        }
        is_next
    }

    /// Consumes this sign if it is next.
    fn takes_sign(&mut self, sign: char) -> bool {
        let is_next = matches!(self.peek(), Ok(Some(Token::Sign(next))) if *next == sign);
        if is_next {
            self.ahead = None;
        }
        is_next
    }

    fn read(&mut self) -> Result<Token<'a>> {
        let text = self.rest.trim_start();
        let first = text.chars().next().context("the text ends too soon")?;
        let (length, token) = match first {
            '"' | '\'' => {
                let end = text[1..].find(first).context("a quote is not closed")? + 1;
                let inner = &text[1..end];
                let token = match first {
                    '"' => Token::Name(inner),
                    _ => Token::Value(Cow::Owned(Attribute::S(inner.to_owned()))),
                };
                (end + 1, token)
            }
            '?' => {
                let value = self.parameters.next().context("too few parameters")?;
                (1, Token::Value(Cow::Borrowed(value)))
            }
            '0'..='9' => {
                let end = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
                (end, Token::Value(Cow::Owned(Attribute::N(text[..end].to_owned()))))
            }
            '#' | ':' | 'a'..='z' | 'A'..='Z' | '_' => {
                let is_word = |letter: char| letter.is_ascii_alphanumeric() || letter == '_' || letter == '-';
                let end = text[1..].find(|letter| !is_word(letter)).map_or(text.len(), |index| index + 1);
                let word = &text[..end];
                let missing = || format!("no placeholder {word}");
                let token = match first {
                    '#' => Token::Name(self.names.and_then(|names| names.get(word)).with_context(missing)?),
                    ':' => {
                        let value = self.values.and_then(|values| values.get(word));
                        Token::Value(Cow::Borrowed(value.with_context(missing)?))
                    }
                    _ => Token::Word(word),
                };
                (end, token)
            }
            sign => (sign.len_utf8(), Token::Sign(sign)),
        };
        self.rest = &text[length..];
        Ok(token)
    }

    fn condition(&mut self) -> Result<Condition<'a>> {
        let mut condition = self.conjunction()?;
        while self.takes("OR") {
            condition = Condition::Or(Box::new(condition), Box::new(self.conjunction()?));
        }
        Ok(condition)
    }

    fn conjunction(&mut self) -> Result<Condition<'a>> {
        let mut condition = self.single()?;
        while self.takes("AND") {
            condition = Condition::And(Box::new(condition), Box::new(self.single()?));
        }
        Ok(condition)
    }

    fn single(&mut self) -> Result<Condition<'a>> {
        if self.takes("NOT") {
            return Ok(Condition::Not(Box::new(self.single()?)));
        }
        if self.takes_sign('(') {
            let condition = self.condition()?;
            ensure!(self.takes_sign(')'), "a parenthesis is not closed");
            return Ok(condition);
        }
        for (function, exists) in [("attribute_exists", true), ("attribute_not_exists", false)] {
            if self.takes(function) {
                ensure!(self.takes_sign('('), "no argument of {function}");
                let path = Condition::Exists(self.path()?);
                ensure!(self.takes_sign(')'), "a parenthesis is not closed");
                return Ok(if exists { path } else { Condition::Not(Box::new(path)) });
            }
        }
        let left = self.operand()?;
        if self.takes("IS") {
            let is_not = self.takes("NOT");
            ensure!(self.takes("MISSING"), "IS without MISSING");
            let Operand::Path(path) = left else { bail!("only an attribute can be missing") };
            let exists = Condition::Exists(path);
            return Ok(if is_not { exists } else { Condition::Not(Box::new(exists)) });
        }
        let is_not = |condition| Condition::Not(Box::new(condition));
        let less = self.takes_sign('<');
        let greater = self.takes_sign('>');
        let equal = self.takes_sign('=');
        let right = self.operand()?;
        Ok(match (less, greater, equal) {
            (false, false, true) => Condition::Is(left, Comparison::Equal, right),
            (true, false, false) => Condition::Is(left, Comparison::Less, right),
            (false, true, false) => Condition::Is(left, Comparison::Greater, right),
            (true, true, false) => is_not(Condition::Is(left, Comparison::Equal, right)),
            (true, false, true) => is_not(Condition::Is(left, Comparison::Greater, right)),
            (false, true, true) => is_not(Condition::Is(left, Comparison::Less, right)),
            _ => bail!("no comparison"),
        })
    }

    fn operand(&mut self) -> Result<Operand<'a>> {
        let mut operand = self.term()?;
        loop {
            let sign = match () {
                () if self.takes_sign('+') => 1,
                () if self.takes_sign('-') => -1,
                () => return Ok(operand),
            };
            operand = Operand::Sum(Box::new(operand), sign, Box::new(self.term()?));
        }
    }

    fn term(&mut self) -> Result<Operand<'a>> {
        if self.takes("if_not_exists") {
            ensure!(self.takes_sign('('), "no argument of if_not_exists");
            let path = self.path()?;
            ensure!(self.takes_sign(','), "one argument of if_not_exists is missing");
            let otherwise = self.operand()?;
            ensure!(self.takes_sign(')'), "a parenthesis is not closed");
            return Ok(Operand::IfNotExists(path, Box::new(otherwise)));
        }
        self.peek()?;
        match self.ahead.take() {
            Some(Token::Value(value)) => return Ok(Operand::Value(value)),
            other => self.ahead = other,
        }
        Ok(Operand::Path(self.path()?))
    }

    fn path(&mut self) -> Result<Path<'a>> {
        let mut path = Vec::new();
        loop {
            match self.next()? {
                Token::Name(name) | Token::Word(name) => path.push(name),
                token => bail!("not a name: {token:?}"),
            }
            if !self.takes_sign('.') {
                return Ok(path);
            }
        }
    }

    fn update(&mut self) -> Result<Update<'a>> {
        let mut update = Update::default();
        loop {
            if self.takes("SET") {
                self.each(|parser| {
                    let path = parser.path()?;
                    ensure!(parser.takes_sign('='), "SET without a value");
                    update.sets.push((path, parser.operand()?));
                    Ok(())
                })?;
            } else if self.takes("ADD") {
                self.each(|parser| {
                    update.adds.push((parser.path()?, parser.operand()?));
                    Ok(())
                })?;
            } else if self.takes("REMOVE") {
                self.each(|parser| {
                    update.removes.push(parser.path()?);
                    Ok(())
                })?;
            } else {
                return Ok(update);
            }
        }
    }

    fn each(&mut self, mut read: impl FnMut(&mut Self) -> Result<()>) -> Result<()> {
        read(self)?;
        while self.takes_sign(',') {
            read(self)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{from_value, json};

    use super::*;

    fn item() -> Item {
        let item = json!({
            "id": { "S": "1" }, "open": { "N": "2" },
            "destinations": { "M": { "mark": { "M": { "state": { "S": "pending" } } } } },
        });
        from_value(item).unwrap()
    }

    fn holds(text: &str) -> bool {
        let values = json!({ ":one": { "N": "1" }, ":two": { "N": "2" }, ":id": { "S": "1" } });
        let values = from_value(values).unwrap();
        let names = HashMap::from([("#d".to_owned(), "destinations".to_owned())]);
        let placeholders = Placeholders { names: Some(&names), values: Some(&values), parameters: &[] };
        Condition::parse(text, &placeholders).unwrap().holds(&item()).unwrap()
    }

    #[test]
    fn conditions() {
        assert!(holds("id = :id AND attribute_exists(#d.mark) AND NOT attribute_exists(other)"));
        assert!(holds("attribute_not_exists(id) OR (open > :one AND open <= :two)"));
        assert!(!holds("open <> :two") && !holds("open < :two") && holds("open >= :two"));
        assert!(!holds("other = :one") && !holds("attribute_not_exists(id) OR other < :two AND id = :id"));
    }

    #[test]
    fn an_update() {
        let values = from_value(json!({ ":one": { "N": "1" }, ":s": { "S": "done" } })).unwrap();
        let placeholders = Placeholders { values: Some(&values), ..Placeholders::default() };
        let text = "SET destinations.mark.state = :s, open = open - :one, n = if_not_exists(n, :one) + :one ADD m :one REMOVE id";
        let mut changed = item();
        Update::parse(text, &placeholders).unwrap().apply(&mut changed).unwrap();
        let expected = json!({
            "open": { "N": "1" }, "n": { "N": "2" }, "m": { "N": "1" },
            "destinations": { "M": { "mark": { "M": { "state": { "S": "done" } } } } },
        });
        assert_eq!(json!(changed), expected);
    }

    #[test]
    fn a_statement() {
        let text = r#"UPDATE "t" SET "destinations"."mark"."state"='done' SET "open"="open"-1 WHERE "id"=? AND "open">1 AND "x" IS MISSING"#;
        let id = [Attribute::S("1".to_owned())];
        let statement = Statement::parse(text, &id).unwrap();
        assert_eq!((statement.table, statement.condition.wanted("id")), ("t", Some(&id[0])));
        assert!(statement.condition.holds(&item()).unwrap());
        let mut changed = item();
        statement.update.apply(&mut changed).unwrap();
        assert!(!statement.condition.holds(&changed).unwrap(), "`open` is one less");
    }

    #[test]
    fn an_unknown_expression_is_an_error() {
        for text in ["size(a) > :one", "open", "open = :three", "(open = :one", "open = :one open"] {
            let values = from_value(json!({ ":one": { "N": "1" } })).unwrap();
            let placeholders = Placeholders { values: Some(&values), ..Placeholders::default() };
            assert!(Condition::parse(text, &placeholders).is_err(), "{text}");
        }
    }
}
