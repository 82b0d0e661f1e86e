//! Finds a number that is not finite in what is to become JSON. `serde_json` writes null for it, without an error.

use std::fmt::Display;

use serde::Serialize;
use serde::ser::{
    Error, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
    SerializeTupleStruct, SerializeTupleVariant, Serializer,
};

/// Where a number of the data is NaN or infinite, such as `.prices[1]`.
pub(super) fn not_finite(data: &impl Serialize) -> Option<String> {
    data.serialize(Search).err().and_then(|found| found.0)
}

/// A serialiser that writes nothing, and ends with an error at the first number that is not finite.
struct Search;

/// The path of such a number; none for what else ends the search.
#[derive(Debug, thiserror::Error)]
#[error("the search ended")]
struct Found(Option<String>);

impl Error for Found {
    fn custom<T: Display>(_: T) -> Found {
        Found(None)
    }
}

type Searched = Result<(), Found>;

/// Searches a part, and puts its place before the path that was found there.
fn part<T: Serialize + ?Sized>(value: &T, place: impl FnOnce() -> String) -> Searched {
    value.serialize(Search).map_err(|Found(path)| Found(path.map(|path| place() + &path)))
}

fn finite(is_finite: bool) -> Searched {
    if is_finite { Ok(()) } else { Err(Found(Some(String::new()))) }
}

/// What has neither a number with a fraction nor parts.
macro_rules! leaves {
    ($($leaf:ident: $type:ty,)*) => { $(fn $leaf(self, _: $type) -> Searched { Ok(()) })* };
}

impl Serializer for Search {
    type Ok = ();
    type Error = Found;
    type SerializeSeq = Items;
    type SerializeTuple = Items;
    type SerializeTupleStruct = Items;
    type SerializeTupleVariant = Items;
    type SerializeMap = Entries;
    type SerializeStruct = Fields;
    type SerializeStructVariant = Fields;

    leaves! {
        serialize_bool: bool,
        serialize_i8: i8, serialize_i16: i16, serialize_i32: i32, serialize_i64: i64, serialize_i128: i128,
        serialize_u8: u8, serialize_u16: u16, serialize_u32: u32, serialize_u64: u64, serialize_u128: u128,
        serialize_char: char, serialize_str: &str, serialize_bytes: &[u8], serialize_unit_struct: &'static str,
    }

    fn serialize_f32(self, number: f32) -> Searched {
        finite(number.is_finite())
    }
    fn serialize_f64(self, number: f64) -> Searched {
        finite(number.is_finite())
    }
    fn serialize_none(self) -> Searched {
        Ok(())
    }
    fn serialize_unit(self) -> Searched {
        Ok(())
    }
    fn serialize_unit_variant(self, _: &'static str, _: u32, _: &'static str) -> Searched {
        Ok(())
    }
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Searched {
        value.serialize(self)
    }
    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Searched {
        value.serialize(self)
    }
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Searched {
        part(value, || format!(".{variant}"))
    }
    fn serialize_seq(self, _: Option<usize>) -> Result<Items, Found> {
        Ok(Items { variant: None, at: 0 })
    }
    fn serialize_tuple(self, _: usize) -> Result<Items, Found> {
        self.serialize_seq(None)
    }
    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Items, Found> {
        self.serialize_seq(None)
    }
    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Items, Found> {
        Ok(Items { variant: Some(variant), at: 0 })
    }
    fn serialize_map(self, _: Option<usize>) -> Result<Entries, Found> {
        Ok(Entries { key: String::new() })
    }
    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Fields, Found> {
        Ok(Fields { variant: None })
    }
    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Fields, Found> {
        Ok(Fields { variant: Some(variant) })
    }
}

/// The items of an array, or of a variant with several.
struct Items {
    variant: Option<&'static str>,
    at: usize,
}

impl Items {
    fn next<T: Serialize + ?Sized>(&mut self, item: &T) -> Searched {
        let at = self.at;
        self.at += 1;
        part(item, || match self.variant {
            Some(variant) => format!(".{variant}[{at}]"),
            None => format!("[{at}]"),
        })
    }
}

macro_rules! items {
    ($($of:ident: $next:ident,)*) => {
        $(impl $of for Items {
            type Ok = ();
            type Error = Found;
            fn $next<T: Serialize + ?Sized>(&mut self, item: &T) -> Searched {
                self.next(item)
            }
            fn end(self) -> Searched {
                Ok(())
            }
        })*
    };
}
items! {
    SerializeSeq: serialize_element,
    SerializeTuple: serialize_element,
    SerializeTupleStruct: serialize_field,
    SerializeTupleVariant: serialize_field,
}

/// The entries of a map. A key is no number that has to be finite: `serde_json` refuses such a one itself.
struct Entries {
    key: String,
}

impl SerializeMap for Entries {
    type Ok = ();
    type Error = Found;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Searched {
        self.key = match serde_json::to_value(key) {
            Ok(serde_json::Value::String(key)) => key,
            Ok(key) => key.to_string(),
            Err(_) => String::new(),
        };
        Ok(())
    }
    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Searched {
        part(value, || format!(".{}", self.key))
    }
    fn end(self) -> Searched {
        Ok(())
    }
}

/// The fields of a struct, or of a variant with fields.
struct Fields {
    variant: Option<&'static str>,
}

impl Fields {
    fn next<T: Serialize + ?Sized>(&mut self, field: &str, value: &T) -> Searched {
        part(value, || match self.variant {
            Some(variant) => format!(".{variant}.{field}"),
            None => format!(".{field}"),
        })
    }
}

macro_rules! fields {
    ($($of:ident,)*) => {
        $(impl $of for Fields {
            type Ok = ();
            type Error = Found;
            fn serialize_field<T: Serialize + ?Sized>(&mut self, field: &'static str, value: &T) -> Searched {
                self.next(field, value)
            }
            fn end(self) -> Searched {
                Ok(())
            }
        })*
    };
}
fields! { SerializeStruct, SerializeStructVariant, }

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[derive(Serialize)]
    #[serde(rename_all = "lowercase")]
    enum Shape {
        Unit,
        One(f64),
        Two(u8, f32),
        Named { width: Option<f64> },
    }

    #[derive(Serialize)]
    struct Order {
        paid: bool,
        prices: Vec<Option<f64>>,
        rates: BTreeMap<&'static str, (f64, f64)>,
    }

    #[test]
    fn is_found_wherever_it_is() {
        assert_eq!(not_finite(&f64::NAN).as_deref(), Some(""));
        assert_eq!(not_finite(&Some(f32::INFINITY)).as_deref(), Some(""));
        assert_eq!(not_finite(&Shape::One(f64::NEG_INFINITY)).as_deref(), Some(".one"));
        assert_eq!(not_finite(&[Shape::Unit, Shape::Two(1, f32::NAN)]).as_deref(), Some("[1].two[1]"));
        assert_eq!(not_finite(&Shape::Named { width: Some(f64::NAN) }).as_deref(), Some(".named.width"));
        assert_eq!(not_finite(&BTreeMap::from([(7, f64::NAN)])).as_deref(), Some(".7"));
        let order = |price, rate| Order {
            paid: true,
            prices: vec![None, Some(price)],
            rates: [("eur", (1.0, rate))].into(),
        };
        assert_eq!(not_finite(&order(f64::NAN, 1.0)).as_deref(), Some(".prices[1]"));
        assert_eq!(not_finite(&order(1.0, f64::NAN)).as_deref(), Some(".rates.eur[1]"));
        assert_eq!(not_finite(&order(f64::MAX, f64::MIN_POSITIVE)), None);
    }

    #[test]
    fn what_is_finite_has_none() {
        assert_eq!(not_finite(&serde_json::json!({ "a": [null, 1.5, "NaN", { "b": i64::MIN }] })), None);
        assert_eq!(not_finite(&(Shape::Two(1, 2.0), (), 'c', i128::MAX, Shape::Named { width: None })), None);
    }

    proptest! {
        #[test]
        fn the_first_of_a_list_is_found(numbers in prop::collection::vec(any::<f64>(), 0..8)) {
            let first = numbers.iter().position(|number| !number.is_finite());
            prop_assert_eq!(not_finite(&numbers), first.map(|at| format!("[{at}]")));
        }
    }
}
