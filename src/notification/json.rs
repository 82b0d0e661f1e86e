//! JSON: read strictly, kept in canonical form (RFC 8785).
//!
//! The reader refuses what two readers could understand differently: a key that appears twice, or a number
//! that is not a double's. Therefore the digest of the canonical text is the digest of its
//! meaning, and every destination reads the same data.

mod finite;

use std::fmt;

use serde::de::{DeserializeOwned, Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Number, Value};

use self::finite::not_finite;
use super::refusal::Refusal;

/// Deepest nesting of objects and arrays, in levels.
const DEPTH_MAX: usize = 64;
/// Longest path that an error shows, in characters. The sender chooses the keys in it.
const PATH_CHARS_MAX: usize = 120;
/// Digits that name any double.
const DIGITS_MAX: usize = 17;

/// A JSON value, kept as its canonical text (RFC 8785).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Json(#[serde(deserialize_with = "json_text")] String);

/// Refuses a stored text that is not JSON, so that it can always be sent on.
fn json_text<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    let text = String::deserialize(from)?;
    raw(&text).map_err(serde::de::Error::custom)?;
    Ok(text)
}

impl Json {
    /// The canonical JSON of a value.
    ///
    /// # Errors
    /// [`Refusal::Number`] for a number that a double cannot hold. [`Refusal::Invalid`] for a value that has
    /// no form in JSON, such as a map with keys that are not strings, or a number that is NaN or infinite.
    pub fn from_serialize(data: &impl Serialize) -> Result<Json, Refusal> {
        let text = serde_json::to_string(data).map_err(|_| Refusal::Invalid {
            field: "data".into(),
            problem: "has no form in JSON; use maps with string keys",
        })?;
        // A number that is not finite became null.
        if let Some(path) = text.contains("null").then(|| not_finite(data)).flatten() {
            let problem = "is NaN or infinite, which JSON has no number for; send it as a string or as null";
            return Err(Refusal::Invalid { field: shown(&format!("data{path}")).into(), problem });
        }
        // It is one level deeper in its event, where it has to be readable.
        Ok(Json::canonical(&value(raw(&text)?, &Path::Root("data"), 1)?))
    }

    pub(crate) fn canonical(value: &Value) -> Json {
        let text = serde_json_canonicalizer::to_string(value);
        Json(text.expect("a parsed value holds finite numbers and string keys only"))
    }

    /// The data of a copy. It is canonical, except that a queue may hold U+FFFE and U+FFFF as escapes.
    pub(crate) fn of_copy(json: &RawValue) -> Json {
        match json.get().contains("\\uff") {
            true => serde_json::from_str(json.get())
                .map_or_else(|_| Json(json.get().to_owned()), |value| Json::canonical(&value)),
            false => Json(json.get().to_owned()),
        }
    }

    /// The canonical text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The value as a `T`.
    ///
    /// # Errors
    /// When the data is not of that type.
    pub fn deserialize<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_str(&self.0)
    }
}

/// Serialises the text as the JSON that it is, rather than as a string.
pub(crate) fn verbatim<S: serde::Serializer>(json: &Json, to: S) -> Result<S::Ok, S::Error> {
    let raw: &RawValue = serde_json::from_str(&json.0).map_err(serde::ser::Error::custom)?;
    raw.serialize(to)
}

/// Reads one JSON value, strictly.
///
/// # Errors
/// [`Refusal::MalformedJson`], [`Refusal::DuplicateKey`], [`Refusal::Number`] or
/// [`Refusal::TooDeep`].
pub(crate) fn parse(text: &str) -> Result<Value, Refusal> {
    value(raw(text)?, &Path::Root(""), 0).map_err(|refusal| match refusal {
        // Half of a surrogate pair. Its position is to be that in the whole text.
        Refusal::MalformedJson { .. } => serde_json::from_str::<Value>(text).err().map_or(refusal, malformed),
        other => other,
    })
}

fn raw(text: &str) -> Result<&RawValue, Refusal> {
    serde_json::from_str(text).map_err(malformed)
}

/// The path of a value. It becomes a text only for an error, since input may be long and deep.
enum Path<'a> {
    Root(&'a str),
    Key(&'a Path<'a>, &'a str),
    Item(&'a Path<'a>, usize),
}

impl Path<'_> {
    fn shown(&self) -> String {
        shown(&self.to_string())
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, to: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Path::Root(name) => to.write_str(name),
            Path::Key(Path::Root(""), key) => to.write_str(key),
            Path::Key(parent, key) => write!(to, "{parent}.{key}"),
            Path::Item(parent, at) => write!(to, "{parent}[{at}]"),
        }
    }
}

fn malformed(error: serde_json::Error) -> Refusal {
    Refusal::MalformedJson { line: error.line(), column: error.column() }
}

/// Reads a value of valid syntax, level by level. Only the raw text shows how a number was written and
/// which keys appear twice.
fn value(raw: &RawValue, path: &Path, depth: usize) -> Result<Value, Refusal> {
    let text = raw.get();
    if depth > DEPTH_MAX {
        return Err(Refusal::TooDeep { path: path.shown(), max: DEPTH_MAX });
    }
    match text.as_bytes()[0] {
        b'{' => {
            let Entries(entries) = serde_json::from_str(text).map_err(malformed)?;
            let mut object = Map::new();
            for (key, raw) in entries {
                let path = Path::Key(path, &key);
                let value = value(raw, &path, depth + 1)?;
                if object.contains_key(&key) {
                    return Err(Refusal::DuplicateKey { path: path.shown() });
                }
                object.insert(key, value);
            }
            Ok(Value::Object(object))
        }
        b'[' => {
            let items: Vec<&RawValue> = serde_json::from_str(text).map_err(malformed)?;
            let items = items.into_iter().enumerate();
            let items = items.map(|(at, raw)| value(raw, &Path::Item(path, at), depth + 1));
            Ok(Value::Array(items.collect::<Result<_, _>>()?))
        }
        b'-' | b'0'..=b'9' => match number(text) {
            Some(number) => Ok(Value::Number(number)),
            None => Err(Refusal::Number { path: path.shown() }),
        },
        // A string, true, false or null. Only this finds a lone surrogate in a string.
        _ => serde_json::from_str(text).map_err(malformed),
    }
}

/// The character, or U+FFFD in place of one that logs and queues refuse.
pub(crate) fn plain(c: char) -> char {
    if c.is_control() || ('\u{fffe}'..='\u{ffff}').contains(&c) { '\u{fffd}' } else { c }
}

/// A name or path as errors show it: shortened, without the characters that logs and queues refuse.
pub(crate) fn shown(path: &str) -> String {
    let mut chars = path.chars().map(plain);
    let mut text: String = chars.by_ref().take(PATH_CHARS_MAX).collect();
    if chars.next().is_some() {
        text.push('…');
    }
    text
}

/// The number, if the nearest double is what was meant: every destination reads the double's shortest text.
fn number(text: &str) -> Option<Number> {
    let number = Number::from_f64(text.parse().ok()?)?;
    let kept = decimal(&serde_json_canonicalizer::to_string(&number).ok()?)?;
    let written = decimal(text)?;
    (written == kept || is_of_a_writer(&written, &kept, number.as_f64()?)).then_some(number)
}

/// Whether a fraction is what a writer of another language gives for this double: the double rounded to those digits,
/// which may be more than it needs, or fewer. Of 17 digits the last one depends on the writer, where the double needs
/// as many.
fn is_of_a_writer(written: &Decimal, kept: &Decimal, double: f64) -> bool {
    let (is_whole, digits) = (written.2 >= 0, written.1.len());
    if is_whole || double == 0.0 || digits > DIGITS_MAX {
        return false;
    }
    let rounded = decimal(&format!("{double:.*e}", digits - 1));
    rounded.as_ref() == Some(written) || (digits == DIGITS_MAX && kept.1.len() >= DIGITS_MAX - 1)
}

/// Sign, digits without zeros at either end, and exponent.
type Decimal = (bool, String, i64);

/// Equal for equal decimal values.
fn decimal(text: &str) -> Option<Decimal> {
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (negative, mantissa) = match mantissa.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, mantissa),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    let digits = digits.trim_start_matches('0');
    let significant = digits.trim_end_matches('0');
    if significant.is_empty() {
        return Some((false, String::new(), 0)); // every spelling of zero
    }
    let zeros = (digits.len() - significant.len()) as i64;
    let exponent = exponent.parse::<i64>().ok()?;
    let exponent = exponent.checked_add(zeros)?.checked_sub(fraction.len() as i64)?;
    Some((negative, significant.to_owned(), exponent))
}

/// The entries of an object in the order written, repeated keys included.
struct Entries<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Entries<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct EntriesVisitor;
        impl<'de> Visitor<'de> for EntriesVisitor {
            type Value = Entries<'de>;
            fn expecting(&self, to: &mut fmt::Formatter) -> fmt::Result {
                to.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Entries(entries))
            }
        }
        from.deserialize_map(EntriesVisitor)
    }
}

#[cfg(test)]
mod tests;
