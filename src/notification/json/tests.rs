use super::*;
use crate::code::Code;
use proptest::prelude::*;

fn canonical(text: &str) -> Result<String, Refusal> {
    parse(text).map(|value| Json::canonical(&value).0)
}

#[test]
fn keeps_the_canonical_text() {
    let text = "{ \"b\" : [1.0, 2e3, -0, 1e21, 0.1],\n\"a\":\"\\u20ac\\u000f\\/\" }";
    let kept = "{\"a\":\"€\\u000f/\",\"b\":[1,2000,0,1e+21,0.1]}";
    assert_eq!(canonical(text).unwrap(), kept);
}

#[test]
fn sorts_keys_by_utf16_as_rfc_8785_says() {
    // U+1F600 is two surrogates from U+D83D on, so it sorts before U+FB33.
    let sorted = "{\"\u{1f600}\":2,\"\u{fb33}\":1}";
    assert_eq!(canonical("{\"\u{fb33}\":1,\"\u{1f600}\":2}").unwrap(), sorted);
}

#[test]
fn refuses_a_key_that_appears_twice_and_says_where() {
    let twice = |path: &str| Err(Refusal::DuplicateKey { path: path.into() });
    assert_eq!(canonical(r#"{"a":1,"a":1}"#), twice("a"));
    assert_eq!(canonical(r#"{"data":{"lines":[{"x":1},{"x":1,"\u0078":2}]}}"#), twice("data.lines[1].x"));
}

#[test]
fn refuses_numbers_that_a_double_cannot_hold() {
    for held in ["9007199254740992", "-1.50", "1e23", "5e-324", "0.0e99", "1E2", "0.1", "125589289153904.12"]
    {
        assert!(canonical(held).is_ok(), "{held}");
    }
    for lost in [
        "9007199254740993",
        "1152921504606846976",
        "1e400",
        "1e-400",
        "0.12345678901234567890",
        "0.100000000000000006",
        "99999999999999.99",
        "999999999999999.99",
        "12558928915390.413111",
        "4.9999999999999999",
        "0.99999999999999999",
        "1.0000000000000001",
        "12345678901234567.0",
        "1.2345678901234567e16",
        "1.9999999999999998E23",
        "2.4703282292062329e-324",
        "1e99999999999999999999",
    ] {
        assert_eq!(canonical(lost), Err(Refusal::Number { path: String::new() }), "{lost}");
    }
    assert_eq!(canonical(r#"{"n":[1e999]}"#), Err(Refusal::Number { path: "n[0]".into() }));
}

/// What Java, C and .NET write for some doubles.
#[test]
fn takes_the_digits_of_other_writers() {
    for (written, kept) in [
        ("0.10000000000000001", "0.1"),
        ("333333333.33333329", "333333333.3333333"),
        ("4.9E-324", "5e-324"),
        ("12345.678901234567", "12345.678901234567"),
        ("-2.2250738585072014E-308", "-2.2250738585072014e-308"),
        ("1.17549435E-38", "1.17549435e-38"),
    ] {
        assert_eq!(canonical(written).as_deref(), Ok(kept), "{written}");
    }
}

#[test]
fn refuses_what_is_not_json_and_says_where() {
    for (text, line, column) in
        [("", 1, 0), ("{\"a\":\n tru}", 2, 5), ("{} {}", 1, 4), ("01", 1, 2), ("NaN", 1, 1)]
    {
        assert_eq!(canonical(text), Err(Refusal::MalformedJson { line, column }), "{text}");
    }
    let half = |text: &str| match canonical(text) {
        Err(Refusal::MalformedJson { line, column }) => (line, column),
        other => panic!("{other:?}"),
    };
    let (_, alone) = half(r#""\ud800""#);
    assert_eq!(half(r#"{"ab":["c","\ud800"]}"#), (1, alone + r#"{"ab":["c","#.len()));
    assert_eq!(half("{\n\"\\ud800\":1}"), (2, alone));
}

#[test]
fn data_is_as_deep_alone_as_in_its_event() {
    let nested = |levels: usize| format!("{}0{}", "[".repeat(levels), "]".repeat(levels));
    let of = |levels: usize| Json::from_serialize(&raw(&nested(levels)).unwrap());
    assert!(of(DEPTH_MAX - 1).is_ok());
    assert_eq!(of(DEPTH_MAX).unwrap_err().code(), Code::TooDeep);
}

#[test]
fn data_with_a_number_that_is_not_finite_is_refused_and_says_where() {
    let said = |rates: &[f64]| {
        let data = std::collections::BTreeMap::from([("rates", Some(rates)), ("none", None)]);
        Json::from_serialize(&data).map(|json| json.0).map_err(|refusal| refusal.to_string())
    };
    assert_eq!(said(&[1.0, 0.5]).as_deref(), Ok("{\"none\":null,\"rates\":[1,0.5]}"));
    for odd in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let said = said(&[1.0, odd]).unwrap_err();
        assert!(said.starts_with("`data.rates[1]` is NaN or infinite"), "{said}");
    }
}

#[test]
fn what_is_stored_is_held_to_being_json() {
    let stored = |text: &str| serde_json::from_value::<Json>(Value::String(text.into()));
    assert!(stored("{\"a\":1}").is_ok());
    assert!(stored("{a").is_err());
}

#[test]
fn errors_show_paths_bounded_and_plain() {
    assert_eq!(shown("a.b"), "a.b");
    assert_eq!(shown("a\u{0}\n\u{ffff}"), "a\u{fffd}\u{fffd}\u{fffd}");
    assert_eq!(shown(&"é".repeat(PATH_CHARS_MAX + 1)), format!("{}…", "é".repeat(PATH_CHARS_MAX)));
}

#[test]
fn bounds_the_depth() {
    let nested = |levels: usize| format!("{}0{}", "[".repeat(levels), "]".repeat(levels));
    assert!(canonical(&nested(DEPTH_MAX)).is_ok());
    assert!(matches!(canonical(&nested(DEPTH_MAX + 1)), Err(Refusal::TooDeep { .. })));
    assert!(matches!(canonical(&nested(100_000)), Err(Refusal::TooDeep { .. })));
    let nested = |levels: usize| format!("{}0{}", r#"{"a":"#.repeat(levels), "}".repeat(levels));
    assert!(canonical(&nested(DEPTH_MAX)).is_ok());
    assert!(matches!(canonical(&nested(DEPTH_MAX + 1)), Err(Refusal::TooDeep { .. })));
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        prop::num::f64::NORMAL.prop_map(|n| Number::from_f64(n).map_or(Value::Null, Value::Number)),
        any::<String>().prop_map(Value::String),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
            prop::collection::btree_map(any::<String>(), inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn any_value_survives_and_its_canonical_text_is_a_fixed_point(value in any_json()) {
        let once = canonical(&value.to_string()).unwrap();
        prop_assert_eq!(&canonical(&once).unwrap(), &once);
        prop_assert_eq!(parse(&once).unwrap(), parse(&value.to_string()).unwrap());
    }

    #[test]
    fn a_number_is_taken_only_if_its_canonical_text_says_the_same(
        text in "-?(0|[1-9][0-9]{0,24})(\\.[0-9]{1,24})?([eE][+-]?[0-9]{1,3})?"
    ) {
        if let Ok(kept) = canonical(&text) {
            prop_assert_eq!(kept.parse::<f64>(), text.parse::<f64>());
            let (kept, written) = (decimal(&kept).unwrap(), decimal(&text).unwrap());
            prop_assert!(kept == written || written.1.len() <= DIGITS_MAX);
        }
    }

    #[test]
    fn a_fraction_is_taken_in_all_its_digits(fraction in 1e-9f64..1.0) {
        let text = format!("{fraction:.16e}");
        prop_assert_eq!(canonical(&text).unwrap().parse::<f64>(), Ok(fraction));
    }

    #[test]
    fn any_bytes_give_an_answer(text in any::<String>()) {
        let _ = canonical(&text);
    }
}
