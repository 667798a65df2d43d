//! Modules in layers: each uses only those below it. A circle of modules can be understood only as
//! a whole, and can neither be tested nor moved in parts; and it comes about one harmless line at
//! a time. So a crate declares the order of its modules in a test, and the test reads the sources.
//!
//! ```no_run
//! doug_layers::assert_one_way(
//!     env!("CARGO_MANIFEST_DIR"),
//!     "src/lib.rs",
//!     // From the lowest, which uses none of the others.
//!     &["options", "engine", "client"],
//! );
//! ```
//!
//! What counts is every path that begins with `crate`, `super` or `self`, in `use` or elsewhere.
//! Comments do not count, nor what is compiled for tests alone. A name that the root re-exports
//! (`crate::Client`) stands for the module that has it. Methods leave no path: a type is used
//! where it is named.
#![deny(missing_docs)]
#![allow(clippy::disallowed_methods, reason = "it reads sources, and is no part of any program")]

mod paths;
mod tokens;
mod tree;

use std::path::Path;
use tree::Tree;

/// Fails unless every module that the file `root` declares uses only modules that stand before it
/// in `lowest_first`. The failure names file and line, and both modules.
///
/// `root` is relative to `manifest`: `src/lib.rs` for the modules of a crate, `src/engine/mod.rs`
/// for those of one folder. Items of the root file itself need a place only if modules below use
/// them: it is named as the file is, `lib`, `main` or `mod`.
///
/// # Panics
/// An arrow upwards; a module that is not in the list, or the other way round; a source that
/// cannot be read.
pub fn assert_one_way(manifest: &str, root: &str, lowest_first: &[&str]) {
    let manifest = Path::new(manifest);
    let read = |path: &Path| std::fs::read_to_string(manifest.join(path)).ok();
    let wrong = upward(&read, root, lowest_first);
    assert!(
        wrong.is_empty(),
        "the modules of {} do not keep to their layers. Move what is shared to a module below \
         both, or mend the list:\n  {}",
        manifest.join(root).display(),
        wrong.join("\n  ")
    );
}

/// What is wrong, a sentence each.
fn upward(
    read: &dyn Fn(&Path) -> Option<String>,
    root: &str,
    lowest_first: &[&str],
) -> Vec<String> {
    let tree = match Tree::read(read, Path::new(root)) {
        Ok(tree) => tree,
        Err(why) => return vec![why],
    };
    let mut wrong = Vec::new();
    for (place, name) in lowest_first.iter().enumerate() {
        if lowest_first[..place].contains(name) {
            wrong.push(format!("{name} stands in the list twice"));
        } else if !tree.modules.iter().any(|module| module == name) && *name != tree.own_name {
            wrong.push(format!("{name} is in the list, and no module of {root}"));
        }
    }
    let missing = tree.modules.iter().filter(|module| !lowest_first.contains(&module.as_str()));
    wrong.extend(missing.map(|module| format!("{module} has no place in the list")));
    // A root that nothing below uses is above everything.
    let place = |name: &str| lowest_first.iter().position(|listed| *listed == name);
    for arrow in &tree.arrows {
        let (from, to) = (place(&arrow.from), place(&arrow.to));
        let upward = match (from, to) {
            (Some(from), Some(to)) => from < to,
            (Some(_), None) => arrow.to == tree.own_name,
            (None, _) => false,
        };
        if upward {
            let (file, line) = (arrow.file.display(), arrow.line);
            let (from, to) = (&arrow.from, &arrow.to);
            wrong.push(format!("{file}:{line}: {from} uses {to}, which is above it"));
        }
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is wrong with a crate of these files.
    fn judge(files: &[(&str, &str)], lowest_first: &[&str]) -> Vec<String> {
        let read = |path: &Path| {
            let file = files.iter().find(|(name, _)| Path::new(name) == path);
            file.map(|(_, source)| (*source).to_owned())
        };
        upward(&read, files[0].0, lowest_first)
    }

    const ROOT: &str = "mod low; pub(crate) mod high; pub use high::{inner::Thing as Known};";

    fn judge_low(low: &str) -> Vec<String> {
        let files = [("src/lib.rs", ROOT), ("src/low.rs", low), ("src/high.rs", "use crate::low;")];
        judge(&files, &["low", "high"])
    }

    #[test]
    fn an_arrow_upwards_is_told_with_its_file_its_line_and_both_modules() {
        assert_eq!(judge_low("use std::fmt;\n"), [""; 0]);
        assert_eq!(
            judge_low("use std::fmt;\n\nuse crate::high::Thing;\n"),
            ["src/low.rs:3: low uses high, which is above it"]
        );
    }

    #[test]
    fn every_way_to_name_a_module_counts() {
        for way in [
            "use crate::high;",
            "use crate::{low::A, high::{B, C}};",
            "use super::high::Thing;",
            "use self::super::high as up;",
            "use super::{\n    high::Thing,\n};",
            "fn f() -> crate::high::Thing { todo() }",
            "fn f() { let _ = super::high::make(); }",
            "mod inner { fn f() { super::super::high::make() } }",
            "macro_rules! m { () => { $crate::high::make() } }",
            "use crate::Known;",
            "fn f<'a>(x: &'a str) -> char { '\\''; '\"'; crate::high::last(x) }",
        ] {
            let wrong = judge_low(way);
            assert_eq!(wrong.len(), 1, "{way}: {wrong:?}");
            assert!(wrong[0].contains("low uses high"), "{way}: {wrong:?}");
        }
    }

    #[test]
    fn words_and_tests_do_not_count() {
        for way in [
            "/// See [`crate::high::Thing`].\nfn f() {}",
            "/* /* nested */ use crate::high; */",
            "const A: &str = \"crate::high::Thing \\\" crate::high\";",
            "const A: &str = r#\"\" crate::high::Thing\"#;",
            "#[cfg(test)]\nmod tests { use crate::high::Thing; }",
            "#[cfg(test)]\nuse crate::{high::Thing};",
            "#[cfg(test)]\nfn f<A, B>() { crate::high::make() }\nfn g() {}",
            "pub(in crate::high) fn f() {}",
            "use other::high::Thing;",
            "use crate::low::high::Thing;",
            "mod inner { use super::high::Thing; }",
        ] {
            assert_eq!(judge_low(way), [""; 0], "{way}");
        }
    }

    #[test]
    fn what_follows_a_test_item_counts_again() {
        let source = "#[cfg(test)]\nuse crate::high::A;\nuse crate::high::B;";
        assert_eq!(judge_low(source), ["src/low.rs:3: low uses high, which is above it"]);
    }

    #[test]
    fn a_file_below_a_module_belongs_to_it() {
        let files = [
            ("src/lib.rs", "mod low; mod high;"),
            ("src/low/mod.rs", "mod deep; #[cfg(test)] mod tests;"),
            ("src/low/deep.rs", "mod deeper;"),
            ("src/low/deep/deeper.rs", "use super::super::super::high::Thing;"),
            ("src/high.rs", ""),
        ];
        let wrong = judge(&files, &["low", "high"]);
        assert_eq!(wrong, ["src/low/deep/deeper.rs:1: low uses high, which is above it"]);
    }

    #[test]
    fn the_list_names_every_module_once_and_no_other() {
        let files = [("src/lib.rs", "mod a; mod b;"), ("src/a.rs", ""), ("src/b.rs", "")];
        assert_eq!(judge(&files, &["a"]), ["b has no place in the list"]);
        let wrong = judge(&files, &["a", "b", "a", "c"]);
        assert_eq!(
            wrong,
            ["a stands in the list twice", "c is in the list, and no module of src/lib.rs"]
        );
        let wrong = judge(&[("src/lib.rs", "mod gone;")], &["gone"]);
        assert_eq!(
            wrong,
            ["src/lib.rs declares gone, and neither src/gone.rs nor \
                            src/gone/mod.rs can be read"]
        );
    }

    #[test]
    fn items_of_the_root_file_are_above_all_unless_they_have_a_place() {
        let files = [
            ("src/lib.rs", "mod low; mod high; pub use high::run; pub struct Config(low::Size);"),
            ("src/low.rs", ""),
            ("src/high.rs", "use crate::Config;"),
        ];
        let wrong = judge(&files, &["low", "high"]);
        assert_eq!(wrong, ["src/high.rs:1: high uses lib, which is above it"]);
        assert_eq!(judge(&files, &["low", "lib", "high"]), [""; 0]);
        let wrong = judge(&files, &["lib", "low", "high"]);
        assert_eq!(wrong, ["src/lib.rs:1: lib uses low, which is above it"]);
    }

    #[test]
    fn a_folder_has_layers_too() {
        let files = [
            ("src/engine/mod.rs", "mod a; mod b; use b::B; use crate::host;"),
            ("src/engine/a.rs", "use super::b::B; use crate::host; use crate::engine::b;"),
            ("src/engine/b.rs", "use super::a; use crate::engine::a;"),
        ];
        let up = "src/engine/a.rs:1: a uses b, which is above it";
        assert_eq!(judge(&files, &["a", "b"]), [up]);
    }
}
