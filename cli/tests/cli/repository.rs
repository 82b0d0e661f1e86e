//! `handover new` and `handover add`, in a folder of the test. These tests need no deployed stack.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::text;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// An empty folder, which is removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("handover-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Folder(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn handover(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_handover"));
    command.args(arguments).current_dir(folder).env_clear().output().unwrap()
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every file of a folder, with its text.
fn files(folder: &Path) -> Vec<(PathBuf, String)> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = entries
        .flat_map(|path| if path.is_dir() { files(&path) } else { vec![(path.clone(), read(&path))] })
        .collect();
    files.sort();
    files
}

#[test]
fn a_new_repository_and_what_is_added_to_it_pass_the_checks_of_templates() {
    let folder = Folder::new("new");
    let written = handover(&folder.0, &["new", "shop"]);
    assert!(written.status.success(), "{}", text(&written.stderr));
    let shop = folder.0.join("shop");
    for arguments in [
        &["add", "destination", "orders"][..],
        &["add", "destination", "mail_2", "--external"],
        &["add", "destination", "steps", "--sequenced"],
        &["add", "destination", "calls", "--external", "--sequenced"],
    ] {
        let added = handover(&shop, arguments);
        assert!(added.status.success(), "{arguments:?}: {}", text(&added.stderr));
    }
    for name in ["accept", "relay", "reconcile", "welcome", "orders", "mail_2", "steps", "calls"] {
        assert!(read(&shop.join(format!("functions/{name}/src/main.rs"))).lines().count() < 20, "{name}");
        fs::create_dir_all(shop.join("target/lambda").join(name)).unwrap();
    }
    let routes: handover::Routes = read(&shop.join("routes.json")).parse().unwrap();
    assert_eq!(routes.destinations().into_iter().collect::<Vec<_>>().len(), 5);
    assert!(routes.is_sequenced("steps") && routes.is_sequenced("calls") && !routes.is_sequenced("orders"));

    let lint = Command::new(format!("{ROOT}/.local/venv/bin/cfn-lint"))
        .args(["template.yaml", "handover/core.yaml", "handover/destination.yaml"])
        .current_dir(&shop)
        .output()
        .expect("cfn-lint, which localstack/setup installs");
    assert!(lint.status.success(), "{}", text(&lint.stdout));
    let formatted = files(&shop).into_iter().map(|(path, _)| path);
    let formatted = formatted.filter(|path| path.extension().is_some_and(|extension| extension == "rs"));
    assert!(
        Command::new("rustfmt")
            .args(["--edition", "2024", "--check"])
            .args(formatted)
            .status()
            .unwrap()
            .success()
    );
}

#[test]
fn what_is_there_is_refused_and_nothing_is_written() {
    let folder = Folder::new("there");
    let refused = |at: &Path, arguments: &[&str], code: i32, said: &str| {
        let before = files(&folder.0);
        let refused = handover(at, arguments);
        assert_eq!(refused.status.code(), Some(code), "{arguments:?}: {}", text(&refused.stderr));
        assert!(text(&refused.stderr).contains(said), "{arguments:?}: {}", text(&refused.stderr));
        assert!(files(&folder.0) == before, "{arguments:?} wrote something");
    };
    fs::create_dir(folder.0.join("shop")).unwrap();
    assert!(handover(&folder.0, &["new", "shop"]).status.success(), "an empty folder is taken");
    refused(&folder.0, &["new", "shop"], 1, "error[exists]");
    refused(&folder.0, &["new", "2nd"], 2, "1 to 31 letters");
    refused(&folder.0, &["add", "destination", "orders"], 1, "error[no-repository]");
    let shop = folder.0.join("shop");
    for (name, code, said) in [
        ("welcome", 1, "error[exists]"),
        ("accept", 1, "error[exists]"),
        ("upstream", 2, "the core's"),
        ("relay", 2, "the core's"),
        ("Orders", 2, "1 to 32 characters"),
        ("match", 2, "choose another name"),
        // Its function would be the role of `welcome`.
        ("welcome_role", 1, "the name WelcomeRole"),
    ] {
        refused(&shop, &["add", "destination", name], code, said);
    }
    // Routes and template are in their places before the crate is not.
    fs::rename(shop.join("functions"), shop.join("lambdas")).unwrap();
    refused(&shop, &["add", "destination", "orders"], 1, "functions/orders cannot be written");
    fs::rename(shop.join("lambdas"), shop.join("functions")).unwrap();
    fs::write(shop.join("routes.json"), "{").unwrap();
    refused(&shop, &["add", "destination", "orders"], 1, "error[no-routes]");
}

#[test]
fn what_a_user_changed_is_left_and_said() {
    let folder = Folder::new("changed");
    assert!(handover(&folder.0, &["new", "shop"]).status.success());
    let shop = folder.0.join("shop");
    let template = read(&shop.join("template.yaml")).replace("# handover: ", "# ");
    fs::write(shop.join("template.yaml"), &template).unwrap();
    let added = handover(&shop, &["add", "destination", "orders"]);
    assert_eq!(added.status.code(), Some(1));
    let said = text(&added.stderr);
    assert!(
        said.contains("add `orders` to the parameter Destinations") && said.contains("  OrdersRole:"),
        "{said}"
    );
    assert_eq!(read(&shop.join("template.yaml")), template);
    assert!(shop.join("functions/orders/src/lib.rs").is_file());
}

#[test]
fn what_was_written_and_what_is_left_is_one_json_document() {
    let folder = Folder::new("json");
    let shop = folder.0.join("shop");
    let document = |at: &Path, arguments: &[&str], code: i32| {
        let output = handover(at, &[arguments, &["--json"]].concat());
        assert_eq!((output.status.code(), text(&output.stderr)), (Some(code), ""), "{arguments:?}");
        let document: Value = serde_json::from_slice(&output.stdout).unwrap();
        let part = |name: &str| document[name].as_array().unwrap().clone();
        for path in part("written") {
            assert!(at.join(path.as_str().unwrap()).is_file(), "{path}");
        }
        let written: Vec<_> = part("written").iter().map(|path| path.as_str().unwrap().to_owned()).collect();
        (written, part("left"))
    };
    let (written, left) = document(&folder.0, &["new", "shop"], 0);
    assert_eq!((written.len(), left.len()), (files(&shop).len(), 0));
    assert!(written.contains(&"shop/functions/welcome/tests/simulation.rs".to_owned()), "{written:?}");

    let (written, left) = document(&shop, &["add", "destination", "orders"], 0);
    assert_eq!(
        (&written[..3], left.len()),
        (&["routes.json", "template.yaml", "functions/orders/Cargo.toml"].map(str::to_owned)[..], 0)
    );
    let (_, left) = document(&shop, &["add", "destination", "mail", "--external"], 0);
    assert_eq!(left[0], json!({ "file": "template.yaml", "text": "set PROVIDER_URL of Mail" }));
    assert_eq!(left[1]["file"], "functions/mail/src/lib.rs");

    let template = read(&shop.join("template.yaml")).replace("# handover: ", "# ");
    fs::write(shop.join("template.yaml"), &template).unwrap();
    let (written, left) = document(&shop, &["add", "destination", "steps"], 1);
    assert_eq!(written[..2], ["routes.json", "functions/steps/Cargo.toml"]);
    assert_eq!(left.len(), 2);
    assert!(
        left[1]["file"] == "template.yaml" && left[1]["text"].as_str().unwrap().contains("  StepsRole:"),
        "{left:?}"
    );
}

/// A profile applies in its own workspace only, so a new one has a copy of ours.
#[test]
fn a_new_repository_has_our_profile_for_releases() {
    let ours = read(Path::new(&format!("{ROOT}/Cargo.toml")));
    let theirs = read(Path::new(&format!("{ROOT}/cli/skeleton/Cargo.toml.in")));
    let release = |manifest: &str| manifest[manifest.find("[profile.release]").unwrap()..].to_owned();
    assert_eq!(release(&ours).replace("handover-bench = { opt-level = 3 }\n", ""), release(&theirs));
}
