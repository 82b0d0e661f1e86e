//! Conditions and updates as DynamoDB takes them: in its own expressions and in PartiQL. It is what this
//! project and its peers send, evaluated fast enough not to show in their figures.

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Map, Value, json};

/// An item, its values as DynamoDB writes them: `{"S": "text"}`.
pub type Item = Map<String, Value>;

/// What stands for names and values in an expression.
#[derive(Default)]
pub struct Placeholders<'a> {
    pub names: Option<&'a Map<String, Value>>,
    pub values: Option<&'a Map<String, Value>>,
    /// What the question marks of a PartiQL statement stand for, in their order.
    pub parameters: &'a [Value],
}

/// An update of an item, from PartiQL.
pub struct Statement {
    pub table: String,
    pub update: Update,
    pub condition: Condition,
}

#[derive(Debug)]
pub enum Condition {
    Always,
    And(Box<Condition>, Box<Condition>),
    Or(Box<Condition>, Box<Condition>),
    Not(Box<Condition>),
    Is(Operand, Comparison, Operand),
    Exists(Path),
}

#[derive(Debug)]
pub enum Comparison {
    Equal,
    Less,
    Greater,
}

#[derive(Debug)]
pub enum Operand {
    Path(Path),
    Value(Value),
    Sum(Box<Operand>, i64, Box<Operand>),
    IfNotExists(Path, Box<Operand>),
}

type Path = Vec<String>;

/// What an update sets, adds to and removes, in this order.
#[derive(Debug, Default)]
pub struct Update {
    sets: Vec<(Path, Operand)>,
    adds: Vec<(Path, Operand)>,
    removes: Vec<Path>,
}

impl Condition {
    pub fn parse(text: &str, placeholders: &Placeholders) -> Result<Condition> {
        let mut parser = Parser::new(text, placeholders);
        let condition = parser.condition()?;
        ensure!(parser.is_at_end(), "more than a condition: {text}");
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

    /// The value that the condition wants of this attribute of the item itself: its key, in PartiQL.
    pub fn wanted(&self, name: &str) -> Option<&Value> {
        match self {
            Condition::And(a, b) => a.wanted(name).or_else(|| b.wanted(name)),
            Condition::Is(Operand::Path(path), Comparison::Equal, Operand::Value(value)) => {
                (path.len() == 1 && path[0] == name).then_some(value)
            }
            _ => None,
        }
    }
}

impl Operand {
    fn of(&self, item: &Item) -> Result<Option<Value>> {
        Ok(match self {
            Operand::Path(path) => find(item, path).cloned(),
            Operand::Value(value) => Some(value.clone()),
            Operand::IfNotExists(path, otherwise) => match find(item, path) {
                Some(value) => Some(value.clone()),
                None => otherwise.of(item)?,
            },
            Operand::Sum(a, sign, b) => {
                let number = |operand: &Operand| -> Result<i64> {
                    integer(&operand.of(item)?.context("a sum of what is not there")?)
                };
                Some(json!({ "N": (number(a)? + sign * number(b)?).to_string() }))
            }
        })
    }
}

impl Update {
    pub fn parse(text: &str, placeholders: &Placeholders) -> Result<Update> {
        let mut parser = Parser::new(text, placeholders);
        let update = parser.update()?;
        ensure!(parser.is_at_end(), "more than an update: {text}");
        Ok(update)
    }

    pub fn apply(&self, item: &mut Item) -> Result<()> {
        // All of it speaks of the item as it was.
        let mut values = Vec::with_capacity(self.sets.len() + self.adds.len());
        for (path, operand) in &self.sets {
            values.push((path, operand.of(item)?.context("set to what is not there")?));
        }
        for (path, operand) in &self.adds {
            let held = find(item, path).map_or(Ok(0), integer)?;
            let more = integer(&operand.of(item)?.context("nothing to add")?)?;
            values.push((path, json!({ "N": (held + more).to_string() })));
        }
        for (path, value) in values {
            set(item, path, value)?;
        }
        for path in &self.removes {
            let (name, parents) = path.split_last().context("an empty path")?;
            parent(item, parents)?.remove(name);
        }
        Ok(())
    }
}

impl Statement {
    pub fn parse(text: &str, parameters: &[Value]) -> Result<Statement> {
        let placeholders = Placeholders { parameters, ..Placeholders::default() };
        let mut parser = Parser::new(text, &placeholders);
        ensure!(parser.takes("UPDATE"), "not an update: {text}");
        let Token::Name(table) = parser.next()? else { bail!("no table: {text}") };
        let update = parser.update()?;
        ensure!(parser.takes("WHERE"), "no condition: {text}");
        let condition = parser.condition()?;
        ensure!(parser.is_at_end(), "more than an update: {text}");
        Ok(Statement { table, update, condition })
    }
}

fn find<'a>(item: &'a Item, path: &[String]) -> Option<&'a Value> {
    let (first, rest) = path.split_first()?;
    rest.iter().try_fold(item.get(first)?, |value, name| value.get("M")?.get(name))
}

fn parent<'a>(item: &'a mut Item, path: &[String]) -> Result<&'a mut Item> {
    path.iter().try_fold(item, |item, name| {
        let map = item.get_mut(name).and_then(|value| value.get_mut("M")?.as_object_mut());
        map.with_context(|| format!("no map to set a part of: {name}"))
    })
}

fn set(item: &mut Item, path: &[String], value: Value) -> Result<()> {
    let (name, parents) = path.split_last().context("an empty path")?;
    parent(item, parents)?.insert(name.clone(), value);
    Ok(())
}

fn integer(value: &Value) -> Result<i64> {
    let number = value.get("N").and_then(Value::as_str).context("not a number")?;
    number.parse().with_context(|| format!("not a whole number: {number}"))
}

/// Some send times with a fraction.
fn decimal(value: &Value) -> Result<f64> {
    let number = value.get("N").and_then(Value::as_str).context("not a number")?;
    number.parse().with_context(|| format!("not a number: {number}"))
}

fn order(a: &Value, b: &Value) -> Result<std::cmp::Ordering> {
    match (a.get("S"), b.get("S")) {
        (Some(a), Some(b)) => Ok(a.as_str().cmp(&b.as_str())),
        _ => Ok(decimal(a)?.total_cmp(&decimal(b)?)),
    }
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    /// A name in quotes, or resolved from its placeholder.
    Name(String),
    /// A word: a keyword, a function or a name.
    Word(String),
    Value(Value),
    Sign(char),
}

/// Reads from left to right, one token ahead.
struct Parser<'a> {
    rest: &'a str,
    placeholders: &'a Placeholders<'a>,
    parameters: std::slice::Iter<'a, Value>,
    ahead: Option<Token>,
}

impl<'a> Parser<'a> {
    fn new(text: &'a str, placeholders: &'a Placeholders) -> Parser<'a> {
        Parser { rest: text, placeholders, parameters: placeholders.parameters.iter(), ahead: None }
    }

    fn is_at_end(&mut self) -> bool {
        self.ahead.is_none() && self.rest.trim_start().is_empty()
    }

    fn peek(&mut self) -> Result<Option<&Token>> {
        if self.ahead.is_none() && !self.is_at_end() {
            self.ahead = Some(self.read()?);
        }
        Ok(self.ahead.as_ref())
    }

    fn next(&mut self) -> Result<Token> {
        self.peek()?;
        self.ahead.take().context("it ends too soon")
    }

    /// Takes this word, if it comes next.
    fn takes(&mut self, word: &str) -> bool {
        let is_next = matches!(self.peek(), Ok(Some(Token::Word(next))) if next.eq_ignore_ascii_case(word));
        if is_next {
            self.ahead = None;
        }
        is_next
    }

    /// Takes this sign, if it comes next.
    fn takes_sign(&mut self, sign: char) -> bool {
        let is_next = matches!(self.peek(), Ok(Some(Token::Sign(next))) if *next == sign);
        if is_next {
            self.ahead = None;
        }
        is_next
    }

    fn read(&mut self) -> Result<Token> {
        let text = self.rest.trim_start();
        let first = text.chars().next().context("it ends too soon")?;
        let (length, token) = match first {
            '"' | '\'' => {
                let end = text[1..].find(first).context("a quote is not closed")? + 1;
                let inner = text[1..end].to_owned();
                let token =
                    if first == '"' { Token::Name(inner) } else { Token::Value(json!({ "S": inner })) };
                (end + 1, token)
            }
            '?' => (1, Token::Value(self.parameters.next().context("too few parameters")?.clone())),
            '0'..='9' => {
                let end = text.find(|it: char| !it.is_ascii_digit()).unwrap_or(text.len());
                (end, Token::Value(json!({ "N": &text[..end] })))
            }
            '#' | ':' | 'a'..='z' | 'A'..='Z' | '_' => {
                let is_word = |it: char| it.is_ascii_alphanumeric() || it == '_' || it == '-';
                let end = text[1..].find(|it| !is_word(it)).map_or(text.len(), |at| at + 1);
                let word = &text[..end];
                let held = |map: Option<&'a Map<String, Value>>| {
                    let value = map.and_then(|map| map.get(word));
                    value.with_context(|| format!("no placeholder {word}"))
                };
                let token = match first {
                    '#' => {
                        let name = held(self.placeholders.names)?.as_str().context("a name is text")?;
                        Token::Name(name.to_owned())
                    }
                    ':' => Token::Value(held(self.placeholders.values)?.clone()),
                    _ => Token::Word(word.to_owned()),
                };
                (end, token)
            }
            sign => (sign.len_utf8(), Token::Sign(sign)),
        };
        self.rest = &text[length..];
        Ok(token)
    }

    fn condition(&mut self) -> Result<Condition> {
        let mut condition = self.conjunction()?;
        while self.takes("OR") {
            condition = Condition::Or(Box::new(condition), Box::new(self.conjunction()?));
        }
        Ok(condition)
    }

    fn conjunction(&mut self) -> Result<Condition> {
        let mut condition = self.single()?;
        while self.takes("AND") {
            condition = Condition::And(Box::new(condition), Box::new(self.single()?));
        }
        Ok(condition)
    }

    fn single(&mut self) -> Result<Condition> {
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
            ensure!(self.takes("MISSING"), "IS what?");
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

    fn operand(&mut self) -> Result<Operand> {
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

    fn term(&mut self) -> Result<Operand> {
        if self.takes("if_not_exists") {
            ensure!(self.takes_sign('('), "no argument of if_not_exists");
            let path = self.path()?;
            ensure!(self.takes_sign(','), "one argument of if_not_exists is missing");
            let otherwise = self.operand()?;
            ensure!(self.takes_sign(')'), "a parenthesis is not closed");
            return Ok(Operand::IfNotExists(path, Box::new(otherwise)));
        }
        if let Some(Token::Value(value)) = self.peek()? {
            let value = value.clone();
            self.ahead = None;
            return Ok(Operand::Value(value));
        }
        Ok(Operand::Path(self.path()?))
    }

    fn path(&mut self) -> Result<Path> {
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

    fn update(&mut self) -> Result<Update> {
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
    use super::*;

    fn item() -> Item {
        let item = json!({
            "id": { "S": "1" }, "open": { "N": "2" },
            "destinations": { "M": { "mark": { "M": { "state": { "S": "pending" } } } } },
        });
        item.as_object().unwrap().clone()
    }

    fn holds(text: &str) -> bool {
        let values = json!({ ":one": { "N": "1" }, ":two": { "N": "2" }, ":id": { "S": "1" } });
        let names = json!({ "#d": "destinations" });
        let placeholders =
            Placeholders { names: names.as_object(), values: values.as_object(), parameters: &[] };
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
        let values = json!({ ":one": { "N": "1" }, ":s": { "S": "done" } });
        let placeholders = Placeholders { values: values.as_object(), ..Placeholders::default() };
        let text = "SET destinations.mark.state = :s, open = open - :one, n = if_not_exists(n, :one) + :one ADD m :one REMOVE id";
        let mut changed = item();
        Update::parse(text, &placeholders).unwrap().apply(&mut changed).unwrap();
        let expected = json!({
            "open": { "N": "1" }, "n": { "N": "2" }, "m": { "N": "1" },
            "destinations": { "M": { "mark": { "M": { "state": { "S": "done" } } } } },
        });
        assert_eq!(Value::Object(changed), expected);
    }

    #[test]
    fn a_statement() {
        let text = r#"UPDATE "t" SET "destinations"."mark"."state"='done' SET "open"="open"-1 WHERE "id"=? AND "open">1 AND "x" IS MISSING"#;
        let statement = Statement::parse(text, &[json!({ "S": "1" })]).unwrap();
        assert_eq!(
            (statement.table.as_str(), statement.condition.wanted("id")),
            ("t", Some(&json!({ "S": "1" })))
        );
        assert!(statement.condition.holds(&item()).unwrap());
        let mut changed = item();
        statement.update.apply(&mut changed).unwrap();
        assert!(!statement.condition.holds(&changed).unwrap(), "what is open is one less");
    }

    #[test]
    fn what_it_does_not_know_is_an_error() {
        for text in ["size(a) > :one", "open", "open = :three", "(open = :one", "open = :one open"] {
            let values = json!({ ":one": { "N": "1" } });
            let placeholders = Placeholders { values: values.as_object(), ..Placeholders::default() };
            assert!(Condition::parse(text, &placeholders).is_err(), "{text}");
        }
    }
}
