use super::*;
use crate::code::Code;
use crate::notification::{Draft, encode};

fn routes(text: &str) -> Result<Routes, String> {
    text.parse().map_err(|error: BadRoutes| error.to_string())
}

#[test]
fn are_found_by_type_and_hold_the_kind() {
    let routes = routes(r#"{"t":{"kind":"command","destinations":["refund"]}}"#).unwrap();
    let of = |draft: Draft| routes.of(&draft.build("1").unwrap()).cloned();
    assert_eq!(of(Draft::command("t", "s", &())).unwrap().destinations, ["refund"]);
    assert_eq!(of(Draft::command("u", "s", &())), Err(Refusal::UnknownType { name: "u".into() }));
    let expected = Kind::Command;
    assert_eq!(of(Draft::event("t", "s", &())), Err(Refusal::WrongKind { name: "t".into(), expected }));
}

#[test]
fn a_kind_that_an_event_leaves_out_is_the_routes() {
    let routes = routes(r#"{"t":{"kind":"event","destinations":["a"]}}"#).unwrap();
    let event = |r#type: &str, kind: &str| {
        let text = format!(r#"{{"specversion":"1.0","id":"1","source":"s","type":"{type}"{kind},"data":1}}"#);
        routes.decode(text.as_bytes()).map(|event| event.kind)
    };
    assert_eq!(event("t", ""), Ok(Kind::Event));
    assert_eq!(event("t", r#","kind":null"#), Ok(Kind::Event));
    // What it says is compared with the route later.
    assert_eq!(event("t", r#","kind":"command""#), Ok(Kind::Command));
    assert_eq!(event("u", ""), Err(Refusal::UnknownType { name: "u".into() }));
}

#[test]
fn a_type_is_taken_from_the_sources_of_its_route() {
    let of = |sources: &str, source: &str| {
        let routes = routes(&format!(r#"{{"t":{{"kind":"event","destinations":["a"]{sources}}}}}"#)).unwrap();
        routes.of(&Draft::event("t", source, &()).build("1").unwrap()).err()
    };
    let foreign = Some(Refusal::ForeignSource { name: "t".into() });
    assert_eq!(of("", "whoever"), None);
    assert_eq!(of(r#","sources":["shop","market"]"#, "market"), None);
    assert_eq!(of(r#","sources":["shop","market"]"#, "Market"), foreign);
    assert_eq!(of(r#","sources":["shop"]"#, "shop/1"), foreign);
}

#[test]
fn a_source_is_taken_from_those_who_may_send_it() {
    let text = r#"{"t":{"kind":"event","destinations":["a"],"sources":["shop","market"],
        "senders":{"shop":["AROA1","AIDA2"]}},
        "u":{"kind":"event","destinations":["a"]}}"#;
    let routes = routes(text).unwrap();
    let by = |source: &str, sender: Option<&str>| {
        let event = Draft::event("t", source, &()).build("1").unwrap();
        routes.check_sender(&event, sender).map_err(|refusal| refusal.to_string())
    };
    assert_eq!((by("shop", Some("AROA1")), by("shop", Some("AIDA2"))), (Ok(()), Ok(())));
    assert_eq!((by("market", Some("AROA3")), by("market", None)), (Ok(()), Ok(())));
    assert!(by("shop", Some("AROA3")).unwrap_err().contains("by the user or role `AROA3`; let its service"));
    assert!(by("shop", None).unwrap_err().contains("by a sender that is not known;"));
    let other = Draft::event("u", "shop", &()).build("1").unwrap();
    assert_eq!(routes.check_sender(&other, Some("AIDA2")), Ok(()));
    assert!(routes.check_sender(&other, Some("AROA3")).is_err(), "its ids are those of the shop");
}

#[test]
fn what_another_stack_forwards_keeps_its_id_and_its_cause() {
    let text = r#"{"t":{"kind":"event","destinations":["a"],"sources":["shop"],
        "senders":{"shop":["AROA1"]},"forwarders":{"shop":["AROA2"]}}}"#;
    let routes = routes(text).unwrap();
    let sent = |id: &str, source: &str, sender: Option<&str>| {
        let event = format!(
            r#"{{"specversion":"1.0","id":"{id}","source":"{source}","type":"t","data":1,
                "causationid":"parent","correlationid":true}}"#
        );
        routes.decode_sent(event.as_bytes(), sender, None).map(Notification::from)
    };
    let forwarded = sent("emit:1", "shop", Some("AROA2")).unwrap();
    assert_eq!((&*forwarded.id, forwarded.causationid.as_deref()), ("emit:1", Some("parent")));
    let odd: Vec<_> = forwarded.extensions.keys().map(String::as_str).collect();
    assert_eq!((forwarded.correlationid, odd), (None, vec!["correlationid"]), "it is no id");
    let own = sent("1", "shop", Some("AROA1")).unwrap();
    assert_eq!((own.causationid, own.extensions.len()), (None, 2), "a sender is not believed a cause");
    for (source, sender) in [("shop", Some("AROA1")), ("shop", None), ("market", Some("AROA2"))] {
        assert_eq!(sent("emit:1", source, sender), Err(Refusal::ReservedId), "{source} {sender:?}");
    }
    assert_eq!(sent("1", "shop", Some("AROA3")).unwrap_err().code(), Code::ForeignSender);
    let of_handover: Routes = text.replace("shop", "handover").parse().unwrap();
    let outcome = r#"{"specversion":"1.0","id":"1","source":"handover","type":"t","data":1}"#;
    assert_eq!(
        of_handover.decode_sent(outcome.as_bytes(), Some("AROA2"), None),
        Err(Refusal::ReservedSource)
    );
}

#[test]
fn an_outcome_goes_where_the_route_of_its_type_says() {
    let routes = routes(
        r#"{
        "t": { "kind": "command", "destinations": ["a"] },
        "open": { "kind": "event", "destinations": ["b", "c"] },
        "small": { "kind": "event", "destinations": ["b"], "sources": ["handover"], "max_bytes": 16383 },
        "told": { "kind": "event", "destinations": ["b"], "sources": ["handover"] },
        "mine": { "kind": "event", "destinations": ["b"], "sources": ["shop"] },
        "book": { "kind": "channel", "destinations": ["b"] },
        "keyed": { "kind": "event", "channel": "book", "sources": ["handover"] }
    }"#,
    )
    .unwrap();
    let of = |outcome_to: &str| {
        let asking = Draft::command("t", "s", &()).outcome_to(outcome_to).build("1").unwrap();
        routes.of(&asking)?;
        routes.of_outcome(&asking).map(<[String]>::to_vec)
    };
    assert_eq!(routes.of_outcome(&Draft::command("t", "s", &()).build("1").unwrap()), Ok(&[][..]));
    assert_eq!(of("told"), Ok(vec!["b".into()]));
    let refused = |name: &str| of(name).unwrap_err().to_string();
    assert!(refused("other").starts_with("`outcometo` names the type `other`, which no route takes; route"));
    assert!(refused("t").contains("is routed as a command"));
    assert!(refused("mine").contains("does not have the source `handover`"));
    assert!(refused("open").contains("does not have the source `handover`"), "anybody could tell it");
    assert!(refused("small").contains("has less than 16384"));
    assert!(refused("keyed").contains("belongs to a channel"));
    let forged = Draft::event("told", "handover", &()).build("1");
    assert_eq!(forged, Err(Refusal::ReservedSource), "nobody else tells an outcome");
}

#[test]
fn an_event_is_within_the_limit_of_its_route() {
    let routes = r#"{"t":{"kind":"event","destinations":["a"]},
        "u":{"kind":"event","destinations":["a"],"max_bytes":200}}"#;
    let routes: Routes = routes.parse().unwrap();
    let refusal = |r#type: &str, bytes: usize| {
        let event = |data: &str| Draft::event(r#type, "s", &data).build("1").unwrap();
        let event = event(&"x".repeat(bytes - encode(&event("")).len()));
        assert_eq!(encode(&event).len(), bytes);
        // As it is sent, it may have white space and leave out its kind.
        let sent = String::from_utf8(encode(&event)).unwrap().replace(r#""kind":"event","#, "   \n");
        let decoded = routes.decode(sent.as_bytes()).unwrap();
        assert_eq!(routes.of(&decoded), routes.of(&event));
        routes.of(&event).err()
    };
    let too_large =
        |name: &str, bytes, max| Some(Refusal::TooLargeForRoute { name: name.into(), bytes, max });
    assert_eq!(refusal("u", 200), None);
    assert_eq!(refusal("u", 201), too_large("u", 201, 200));
    assert_eq!(refusal("t", 65_536), None);
    assert_eq!(refusal("t", 65_537), too_large("t", 65_537, 65_536));
}

const BOOK: &str = r#"{
    "book": { "kind": "channel", "destinations": ["a", "b"], "sequenced": ["b"], "sources": ["s"] },
    "shelf": { "kind": "channel", "destinations": [] },
    "book.bought": { "kind": "event", "channel": "book" },
    "book.lent": { "kind": "event", "channel": "book", "sources": ["library"] },
    "shelf.moved": { "kind": "event", "channel": "shelf" },
    "c": { "kind": "command", "destinations": ["b"], "sequenced": ["b"] }
}"#;

#[test]
fn an_event_of_a_channel_goes_to_its_subscribers() {
    let routes = routes(BOOK).unwrap();
    let of = |r#type: &str, source: &str, key: &str| {
        let draft = Draft::event(r#type, source, &()).partitionkey(key).sequence(1);
        routes.of(&draft.build("1").unwrap()).map(|route| route.destinations.clone())
    };
    assert_eq!(of("book.bought", "s", "book/7"), Ok(vec!["a".into(), "b".into()]));
    assert_eq!(of("shelf.moved", "whoever", "shelf/7/8"), Ok(vec![]));
    let foreign = |name: &str| Err(Refusal::ForeignSource { name: name.into() });
    assert_eq!(of("book.bought", "library", "book/7"), foreign("book.bought"));
    assert_eq!(of("book.lent", "s", "book/7"), foreign("book.lent"));
    assert!(of("book.lent", "library", "book/7").is_ok());
    let not_keyed = Refusal::NotKeyed { name: "shelf.moved".into(), channel: "shelf".into() };
    for key in ["7", "shelf", "shelf/", "/7", "Shelf/7", "book/7", "shelf /7"] {
        assert_eq!(of("shelf.moved", "s", key), Err(not_keyed.clone()), "{key}");
    }
    let without_key = Draft::event("shelf.moved", "s", &()).build("1").unwrap();
    assert_eq!(routes.of(&without_key).unwrap_err(), not_keyed);
    let asks = Draft::event("shelf.moved", "s", &()).partitionkey("shelf/7").outcome_to("told");
    let no_outcome = Err(Refusal::NoOutcome { name: "shelf.moved".into() });
    assert_eq!(routes.of(&asks.build("1").unwrap()).map(|_| ()), no_outcome);
    assert!(of("shelf", "s", "shelf/7").unwrap_err().to_string().contains("no route takes"));
    assert_eq!(routes.destinations().into_iter().collect::<Vec<_>>(), ["a", "b"]);
}

#[test]
fn what_is_taken_in_sequence_has_to_be_numbered() {
    let routes = routes(BOOK).unwrap();
    assert!(routes.is_sequenced("b") && !routes.is_sequenced("a"));
    let drafts = [
        ("c", Draft::command("c", "s", &()).partitionkey("k")),
        ("book.bought", Draft::event("book.bought", "s", &()).partitionkey("book/7")),
    ];
    for (name, draft) in drafts {
        let refused = routes.of(&draft.clone().build("1").unwrap()).unwrap_err();
        assert_eq!(refused, Refusal::NotNumbered { name: name.into() });
        assert!(routes.of(&draft.sequence(1).build("1").unwrap()).is_ok());
    }
}

#[test]
fn a_route_has_ten_destinations_at_most() {
    let of = |many: usize| {
        let names: Vec<String> = (0..many).map(|at| format!("a{at}")).collect();
        routes(&format!(r#"{{"t":{{"kind":"event","destinations":{names:?}}}}}"#))
    };
    assert_eq!(of(DESTINATIONS_MAX).unwrap().destinations().len(), 10);
    assert_eq!(
        of(DESTINATIONS_MAX + 1).unwrap_err(),
        "routes: `t` has more than 10 destinations; chain events instead"
    );
}

#[test]
fn a_name_of_a_destination_is_short_and_plain() {
    let longest = "a".repeat(DESTINATION_BYTES_MAX);
    for name in ["a", "refund_2", &longest] {
        assert!(is_destination(name), "{name}");
    }
    for name in ["", "2a", "_a", "A", "aB", "a-b", "a.b", "\u{e4}", &format!("{longest}a")] {
        assert!(!is_destination(name), "{name}");
    }
}

#[test]
fn whether_it_is_in_sequence_is_known_of_its_destinations_alone() {
    let routes = routes(BOOK).unwrap();
    let in_sequence = |name| routes.has_in_sequence("book.bought", name);
    assert_eq!([in_sequence("a"), in_sequence("b"), in_sequence("c")], [Some(false), Some(true), None]);
    assert_eq!(routes.has_in_sequence("v", "a"), None);
}

#[test]
fn bad_ones_say_what_is_wrong() {
    for (route, said) in [
        (r#"{"kind":"event","destinations":[]}"#, "`t` has no destination"),
        (r#"{"kind":"command","destinations":["a","b"]}"#, "one owner"),
        (r#"{"kind":"event","destinations":["a","a"]}"#, "twice"),
        (r#"{"kind":"event","destinations":["A-b"]}"#, "`A-b`"),
        (r#"{"kind":"event","destinations":["a"],"x":1}"#, "unknown field `x`"),
        (r#"{"kind":"event","destinations":["a"],"max_bytes":0}"#, "choose 1 to 262144"),
        (r#"{"kind":"event","destinations":["a"],"max_bytes":262145}"#, "has 262145 as `max_bytes`"),
        (r#"{"kind":"event","destinations":["a"],"sources":[]}"#, "has no source in `sources`"),
        (r#"{"kind":"event","destinations":["a"],"sources":["a b"]}"#, "has the source `a b`"),
        (r#"{"kind":"event","destinations":["a"],"sources":[""]}"#, "1 to 256 visible"),
        (
            r#"{"kind":"event","destinations":["a"],"senders":{"s":["AROA1"]}}"#,
            "the source `s`, which is not in its `sources`",
        ),
        (
            r#"{"kind":"event","destinations":["a"],"sources":["s"],"senders":{"s":[]}}"#,
            "no sender of the source `s`",
        ),
        (
            r#"{"kind":"event","destinations":["a"],"sources":["s"],"senders":{"s":["AROA1:x"]}}"#,
            "has the sender `AROA1:x`",
        ),
        (
            r#"{"kind":"event","destinations":["a"],"sources":["s"],"senders":{"s":["123456789012"]}}"#,
            "no unique id of a user or role",
        ),
        (r#"{"kind":"query","destinations":["a"]}"#, "unknown variant `query`"),
        (r#"{"kind":"event","destinations":["a"],"sequenced":["a"]}"#, "without a channel"),
        (r#"{"kind":"event","destinations":["relay"]}"#, "whose queues the core has"),
        (r#"{"kind":"event"}"#, "has no destination"),
        (r#"{"kind":"event","channel":"c"}"#, "the channel `c`, which has no entry"),
        (r#"{"kind":"event","channel":"c","destinations":["a"]}"#, "has the destinations; remove"),
        (r#"{"kind":"command","channel":"c"}"#, "belongs to no channel"),
        (r#"{"kind":"command","destinations":["a"],"sequenced":["b"]}"#, "`b` as sequenced"),
        (r#"{"kind":"channel","destinations":["a"],"sequenced":["b"]}"#, "`b` as sequenced"),
        (r#"{"kind":"channel"}"#, "missing field `destinations`"),
        (r#"{"kind":"channel","destinations":["a"],"max_bytes":7}"#, "unknown field `max_bytes`"),
        (r#"{"kind":"event","kind":"command","destinations":["a"]}"#, "`t.kind` appears twice"),
    ] {
        let said_instead = routes(&format!("{{\"t\":{route}}}")).unwrap_err();
        assert!(said_instead.contains(said), "{said_instead}");
    }
}

#[test]
fn a_text_that_two_would_read_differently_is_refused() {
    let bad = |text: &str| routes(text).unwrap_err();
    let owners =
        r#"{"t":{"kind":"command","destinations":["a"]},"t":{"kind":"command","destinations":["b"]}}"#;
    assert!(bad(owners).contains("`t` appears twice"));
    assert!(bad("[]").contains("not a JSON object"));
    assert!(bad("{\n  \"t\": {,\n}").contains("line 2, column 9"));
    let named = r#"{"my.book":{"kind":"channel","destinations":[]}}"#;
    assert!(bad(named).contains("`my.book` is no name of a channel"));
}
