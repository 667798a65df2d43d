//! The script that `doug txn` reads, for people.

use super::words::{Word, words};
use crate::encoding::Encoding;
use crate::units::parse_duration;
use bytes::Bytes;
use doug_client::v1::Relation;
use doug_client::{Check, Range, Step, Transaction};
use std::time::Duration;

/// Reads a script.
///
/// # Errors
/// What is wrong, and in which line.
pub fn read(text: &[u8], encoding: Encoding) -> Result<Transaction, String> {
    let mut transaction = Transaction::new();
    let mut section = Section::Begun;
    for (number, line) in (1..).zip(text.split(|byte| *byte == b'\n')) {
        let read = words(line).and_then(|words| {
            let mut rest = Rest { words: &words, encoding };
            add(&mut transaction, &mut section, &mut rest)
        });
        read.map_err(|what| format!("line {number}: {what}"))?;
    }
    Ok(transaction)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Section {
    /// Conditions, or operations if there are none.
    Begun,
    Then,
    Otherwise,
}

fn add(
    transaction: &mut Transaction,
    section: &mut Section,
    rest: &mut Rest<'_>,
) -> Result<(), String> {
    if rest.words.is_empty() {
        return Ok(());
    }
    if rest.took("if") {
        if *section != Section::Begun {
            return Err("conditions stand before `then`".to_owned());
        }
        let check = check(rest)?;
        rest.end()?;
        *transaction = std::mem::take(transaction).when(check);
        return Ok(());
    }
    let next = [("then", Section::Then), ("else", Section::Otherwise)];
    for (keyword, begins) in next {
        if !rest.took(keyword) {
            continue;
        }
        if *section == begins || *section == Section::Otherwise {
            return Err(format!("`{keyword}` stands once, and `then` before `else`"));
        }
        *section = begins;
        return rest.end();
    }
    let step = step(rest)?;
    rest.end()?;
    let whole = std::mem::take(transaction);
    *transaction =
        if *section == Section::Otherwise { whole.otherwise(step) } else { whole.then(step) };
    Ok(())
}

fn check(rest: &mut Rest<'_>) -> Result<Check, String> {
    let kind = rest.next("what is tested: exists, missing, value or revision")?.clone();
    let kind = kind.plain().unwrap_or_default();
    match kind {
        "exists" | "missing" => match (rest.subject()?, kind) {
            (Subject::Key(key), "exists") => Ok(Check::exists(key)),
            (Subject::Key(key), _) => Ok(Check::absent(key)),
            (Subject::Range(range), "exists") => Ok(Check::any_in(range)),
            (Subject::Range(range), _) => Ok(Check::none_in(range)),
        },
        "value" => {
            let (subject, relation) = (rest.subject()?, rest.relation()?);
            let value = rest.bytes("a value")?;
            Ok(match subject {
                Subject::Key(key) => Check::value(key, relation, value),
                Subject::Range(range) => Check::every_value(range, relation, value),
            })
        }
        "revision" => {
            let (subject, relation) = (rest.subject()?, rest.relation()?);
            let revision = rest.number("a revision")?;
            Ok(match subject {
                Subject::Key(key) => Check::revision(key, relation, revision),
                Subject::Range(range) => Check::every_revision(range, relation, revision),
            })
        }
        _ => Err("after `if` stands exists, missing, value or revision".to_owned()),
    }
}

fn step(rest: &mut Rest<'_>) -> Result<Step, String> {
    let verb = rest.next("an operation")?.clone();
    match verb.plain().unwrap_or_default() {
        "get" => Ok(Step::Get(rest.bytes("a key")?)),
        "put" => {
            let (key, value) = (rest.bytes("a key")?, rest.bytes("a value")?);
            Ok(if rest.took("ttl") {
                Step::put_expiring(key, value, rest.duration("a time to live")?)
            } else {
                Step::put(key, value)
            })
        }
        "incr" => {
            let key = rest.bytes("a key")?;
            let by = if rest.words.is_empty() { 1 } else { rest.number("a number")? };
            Ok(Step::Increment(key, by))
        }
        "del" => Ok(match rest.subject()? {
            Subject::Key(key) => Step::Delete(key),
            Subject::Range(range) => Step::DeleteRange(range),
        }),
        "count" => Ok(Step::Count(rest.range()?)),
        "scan" => {
            let (range, mut limit, mut reverse, mut keys_only) = (rest.range()?, 0, false, false);
            while !rest.words.is_empty() {
                if rest.took("limit") {
                    limit = rest.number("how many entries")?;
                } else if rest.took("reverse") {
                    reverse = true;
                } else if rest.took("keys") {
                    keys_only = true;
                } else {
                    break;
                }
            }
            Ok(Step::Scan { range, reverse, limit, keys_only })
        }
        _ => Err(format!(
            "{} is no operation: write get, put, incr, del, scan or count, or `if`, `then`, `else`",
            verb.shown()
        )),
    }
}

enum Subject {
    Key(Bytes),
    Range(Range),
}

/// What of a line is still to be read.
struct Rest<'w> {
    words: &'w [Word],
    encoding: Encoding,
}

impl<'w> Rest<'w> {
    fn next(&mut self, what: &str) -> Result<&'w Word, String> {
        let (first, rest) =
            self.words.split_first().ok_or_else(|| format!("the line ends before {what}"))?;
        self.words = rest;
        Ok(first)
    }

    /// Takes this keyword, if it is next.
    fn took(&mut self, keyword: &str) -> bool {
        let is_next = self.words.first().is_some_and(|word| word.is(keyword));
        if is_next {
            self.words = &self.words[1..];
        }
        is_next
    }

    fn bytes(&mut self, what: &str) -> Result<Bytes, String> {
        self.next(what)?.decode(self.encoding)
    }

    fn number<T: std::str::FromStr>(&mut self, what: &str) -> Result<T, String> {
        let word = self.next(what)?;
        let number = word.plain().and_then(|text| text.parse().ok());
        number.ok_or_else(|| format!("{} is not {what}", word.shown()))
    }

    fn duration(&mut self, what: &str) -> Result<Duration, String> {
        let word = self.next(what)?;
        let text = word.plain().ok_or_else(|| format!("{} is not {what}", word.shown()))?;
        parse_duration(text)
    }

    fn relation(&mut self) -> Result<Relation, String> {
        let word = self.next("one of = != < >")?;
        match word.plain() {
            Some("=") => Ok(Relation::Equal),
            Some("!=") => Ok(Relation::NotEqual),
            Some("<") => Ok(Relation::Less),
            Some(">") => Ok(Relation::Greater),
            _ => Err(format!("{} is none of = != < >", word.shown())),
        }
    }

    fn range_if_next(&mut self) -> Result<Option<Range>, String> {
        if self.took("all") {
            return Ok(Some(Range::all()));
        }
        if self.took("prefix") {
            return Ok(Some(Range::prefix(self.bytes("a prefix")?)));
        }
        if !self.took("from") {
            return Ok(None);
        }
        let start = self.bytes("the first key")?;
        let end = if self.took("to") { self.bytes("the key that ends it")? } else { Bytes::new() };
        Ok(Some(Range::between(start, end)))
    }

    fn range(&mut self) -> Result<Range, String> {
        let missing = || "which keys? Write `prefix P`, `from A to B` or `all`".to_owned();
        self.range_if_next()?.ok_or_else(missing)
    }

    fn subject(&mut self) -> Result<Subject, String> {
        match self.range_if_next()? {
            Some(range) => Ok(Subject::Range(range)),
            None => Ok(Subject::Key(self.bytes("a key")?)),
        }
    }

    fn end(&self) -> Result<(), String> {
        match self.words.first() {
            None => Ok(()),
            Some(word) => Err(format!(
                "{} is too much; a value of several words stands in \
                                       quotation marks",
                word.shown()
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script(text: &str) -> Result<Transaction, String> {
        read(text.as_bytes(), Encoding::Text)
    }

    #[test]
    fn a_script_has_conditions_and_two_lists_of_operations() {
        let text = "\
# move ten, if there is enough
if exists account/1
if value account/1 > 10
if missing prefix lock/
if revision from a to b < 7
then
  incr account/1 -10
  incr account/2 10
  put note \"moved ten\"
  scan prefix account/ limit 5 reverse keys
else
  get account/1
  count all
  del from x
  del k
";
        let accounts = Range::prefix("account/");
        let expected = Transaction::new()
            .when(Check::exists("account/1"))
            .when(Check::value("account/1", Relation::Greater, "10"))
            .when(Check::none_in(Range::prefix("lock/")))
            .when(Check::every_revision(Range::between("a", "b"), Relation::Less, 7))
            .then(Step::increment("account/1", -10))
            .then(Step::increment("account/2", 10))
            .then(Step::put("note", "moved ten"))
            .then(Step::Scan { range: accounts, reverse: true, limit: 5, keys_only: true })
            .otherwise(Step::get("account/1"))
            .otherwise(Step::Count(Range::all()))
            .otherwise(Step::DeleteRange(Range::between("x", "")))
            .otherwise(Step::delete("k"));
        assert_eq!(script(text), Ok(expected));
    }

    #[test]
    fn without_conditions_operations_stand_alone() {
        let expected = Transaction::new().then(Step::increment("n", 1)).then(Step::get("n"));
        assert_eq!(script("incr n\nget n"), Ok(expected));
    }

    #[test]
    fn a_key_that_is_named_like_a_keyword_stands_in_quotation_marks() {
        assert_eq!(script("del \"all\""), Ok(Transaction::new().then(Step::delete("all"))));
        let all = Step::DeleteRange(Range::all());
        assert_eq!(script("del all"), Ok(Transaction::new().then(all)));
    }

    #[test]
    fn keys_and_values_are_written_in_the_encoding_asked_for() {
        let expiring = Step::put_expiring("k", "ttl", Duration::from_secs(30));
        let read_text = read(b"put k ttl ttl 30s", Encoding::Text);
        assert_eq!(read_text, Ok(Transaction::new().then(expiring)));
        let read = read(b"put 6b 00ff", Encoding::Hex);
        assert_eq!(read, Ok(Transaction::new().then(Step::put("k", &b"\x00\xff"[..]))));
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        for (text, what) in [
            ("get", "line 1: the line ends before a key"),
            ("\nfetch k", "line 2: \"fetch\" is no operation"),
            ("put k two words", "quotation marks"),
            ("if value k ~ 1", "none of = != < >"),
            ("if revision k = now", "is not a revision"),
            ("if k", "after `if` stands"),
            ("incr k one", "is not a number"),
            ("scan k", "Write `prefix P`"),
            ("then\nif exists k", "before `then`"),
            ("else\nget k\nthen\nget k", "`then` before `else`"),
        ] {
            let told = script(text).unwrap_err();
            assert!(told.contains(what), "{text:?}: {told}");
        }
    }
}
