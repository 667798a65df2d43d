//! The JSON that `doug txn` reads and prints, for programs.

use crate::commands::answer;
use crate::encoding::{from_json, insert_json};
use crate::units::parse_duration;
use bytes::Bytes;
use doug_client::v1::{self, Relation, operation_answer::Answer};
use doug_client::{Check, Range, Step, Transaction};
use serde_json::{Map, Value, json};

type Object = Map<String, Value>;

/// Reads a transaction.
///
/// # Errors
/// What is wrong, and where.
pub fn read(text: &[u8]) -> Result<Transaction, String> {
    let value: Value = serde_json::from_slice(text).map_err(|error| error.to_string())?;
    let whole = object(&value)?;
    only(whole, &["if", "then", "else"])?;
    let mut transaction = Transaction::new();
    for (place, condition) in list(whole, "if")? {
        transaction = transaction.when(at(&place, check(condition))?);
    }
    for (place, operation) in list(whole, "then")? {
        transaction = transaction.then(at(&place, step(operation))?);
    }
    for (place, operation) in list(whole, "else")? {
        transaction = transaction.otherwise(at(&place, step(operation))?);
    }
    Ok(transaction)
}

fn at<T>(place: &str, read: Result<T, String>) -> Result<T, String> {
    read.map_err(|what| format!("{place}: {what}"))
}

fn object(value: &Value) -> Result<&Object, String> {
    value.as_object().ok_or_else(|| format!("{value} must be an object"))
}

fn list<'v>(whole: &'v Object, name: &str) -> Result<Vec<(String, &'v Value)>, String> {
    let Some(value) = whole.get(name) else { return Ok(Vec::new()) };
    let all = value.as_array().ok_or_else(|| format!("{name:?} must be a list"))?;
    Ok((0..).zip(all).map(|(number, one): (usize, _)| (format!("{name}[{number}]"), one)).collect())
}

/// A misspelt name would change what the transaction does.
fn only(object: &Object, names: &[&str]) -> Result<(), String> {
    let known = |name: &str| {
        names.contains(&name) || name.strip_suffix("Base64").is_some_and(|n| names.contains(&n))
    };
    match object.keys().find(|name| !known(name)) {
        None => Ok(()),
        Some(name) => Err(format!("{name:?} is not known here: there are {}", names.join(", "))),
    }
}

fn required(object: &Object, name: &str) -> Result<Bytes, String> {
    from_json(object, name)?.ok_or_else(|| format!("{name:?} is missing"))
}

fn number<T: TryFrom<i64>>(object: &Object, name: &str, absent: T) -> Result<T, String> {
    let Some(value) = object.get(name) else { return Ok(absent) };
    let number = value.as_i64().and_then(|number| T::try_from(number).ok());
    number.ok_or_else(|| format!("{name:?} must be a whole number, and {value} is none that fits"))
}

fn flag(object: &Object, name: &str) -> Result<bool, String> {
    match object.get(name) {
        None => Ok(false),
        Some(value) => value.as_bool().ok_or_else(|| format!("{name:?} must be true or false")),
    }
}

fn range(object: &Object) -> Result<Range, String> {
    let (prefix, from, to) =
        (from_json(object, "prefix")?, from_json(object, "from")?, from_json(object, "to")?);
    match (prefix, from, to) {
        (Some(prefix), None, None) => Ok(Range::prefix(prefix)),
        (Some(_), ..) => Err("give \"prefix\", or \"from\" and \"to\"".to_owned()),
        (None, from, to) => Ok(Range::between(from.unwrap_or_default(), to.unwrap_or_default())),
    }
}

fn check(value: &Value) -> Result<Check, String> {
    let whole = object(value)?;
    only(whole, &["key", "prefix", "from", "to", "exists", "is", "value", "revision"])?;
    let key = from_json(whole, "key")?;
    let range = if key.is_none() { Some(range(whole)?) } else { None };
    let relation = match whole.get("is").map(|is| is.as_str()) {
        None | Some(Some("=")) => Relation::Equal,
        Some(Some("!=")) => Relation::NotEqual,
        Some(Some("<")) => Relation::Less,
        Some(Some(">")) => Relation::Greater,
        Some(_) => return Err("\"is\" must be one of =, !=, <, >".to_owned()),
    };
    let value = from_json(whole, "value")?;
    match (whole.get("exists"), value, whole.get("revision")) {
        (Some(_), None, None) => {
            if whole.contains_key("is") {
                return Err("beside \"exists\" there is no \"is\"".to_owned());
            }
            Ok(match (key, range, flag(whole, "exists")?) {
                (Some(key), _, true) => Check::exists(key),
                (Some(key), _, false) => Check::absent(key),
                (None, range, true) => Check::any_in(range.unwrap_or_default()),
                (None, range, false) => Check::none_in(range.unwrap_or_default()),
            })
        }
        (None, Some(value), None) => Ok(match key {
            Some(key) => Check::value(key, relation, value),
            None => Check::every_value(range.unwrap_or_default(), relation, value),
        }),
        (None, None, Some(_)) => {
            let revision: u64 = number(whole, "revision", 0)?;
            Ok(match key {
                Some(key) => Check::revision(key, relation, revision),
                None => Check::every_revision(range.unwrap_or_default(), relation, revision),
            })
        }
        _ => Err("give one of \"exists\", \"value\" and \"revision\"".to_owned()),
    }
}

fn step(value: &Value) -> Result<Step, String> {
    let whole = object(value)?;
    let mut names = whole.iter();
    let (Some((verb, content)), None) = (names.next(), names.next()) else {
        return Err(format!("{value} must have one name, that of its operation"));
    };
    let content = object(content)?;
    let allowed: &[&str] = match verb.as_str() {
        "get" | "delete" => &["key"],
        "put" => &["key", "value", "ttl"],
        "increment" => &["key", "by"],
        "scan" => &["prefix", "from", "to", "limit", "reverse", "keysOnly"],
        "count" | "deleteRange" => &["prefix", "from", "to"],
        _ => {
            return Err(format!(
                "{verb:?} is no operation: there are get, put, increment, delete, deleteRange, \
                 scan, count"
            ));
        }
    };
    only(content, allowed)?;
    Ok(match verb.as_str() {
        "get" => Step::Get(required(content, "key")?),
        "delete" => Step::Delete(required(content, "key")?),
        "put" => {
            let (key, value) = (required(content, "key")?, required(content, "value")?);
            match content.get("ttl") {
                None => Step::put(key, value),
                Some(ttl) => {
                    let wrong = || format!("\"ttl\" is {ttl}: write for instance \"30s\"");
                    let ttl = ttl.as_str().ok_or_else(wrong)?;
                    Step::put_expiring(key, value, parse_duration(ttl)?)
                }
            }
        }
        "increment" => Step::Increment(required(content, "key")?, number(content, "by", 1)?),
        "count" => Step::Count(range(content)?),
        "deleteRange" => Step::DeleteRange(range(content)?),
        _ => Step::Scan {
            range: range(content)?,
            limit: number(content, "limit", 0)?,
            reverse: flag(content, "reverse")?,
            keys_only: flag(content, "keysOnly")?,
        },
    })
}

/// What a transaction was answered.
pub fn answered(response: &v1::TransactResponse) -> Value {
    let mut whole = Object::new();
    whole.insert("conditionsMet".into(), response.conditions_met.into());
    let condition_met_it = response.obstacle.is_some_and(|obstacle| obstacle.of_condition);
    if !response.conditions_met && !condition_met_it {
        whole.insert("failedCondition".into(), response.failed_condition.into());
        whole.insert("currentRevision".into(), response.current_revision.into());
    }
    if let Some(obstacle) = &response.obstacle {
        whole.insert("obstacle".into(), doug_proto::transaction::told(obstacle).into());
    }
    if response.answers_dropped {
        whole.insert("answersDropped".into(), true.into());
    }
    let answers = response.answers.iter().filter_map(|one| one.answer.as_ref());
    whole.insert("answers".into(), answers.map(one).collect());
    answer::insert_header(&mut whole, response.header.as_ref());
    whole.into()
}

fn one(answer: &Answer) -> Value {
    match answer {
        Answer::Get(get) => {
            let mut content = Object::new();
            content.insert("found".into(), get.found.into());
            if get.found {
                insert_json(&mut content, "value", &get.value);
                content.insert("revision".into(), get.value_revision.into());
                if get.expiry_milliseconds > 0 {
                    let expiry = get.expiry_milliseconds;
                    content.insert("expiryMilliseconds".into(), expiry.into());
                }
            }
            json!({ "get": content })
        }
        Answer::Scan(scan) => {
            let entry = |entry: &v1::ScanEntry| {
                let mut content = Object::new();
                insert_json(&mut content, "key", &entry.key);
                insert_json(&mut content, "value", &entry.value);
                content.insert("revision".into(), entry.revision.into());
                Value::from(content)
            };
            let entries: Vec<_> = scan.entries.iter().map(entry).collect();
            json!({ "scan": { "entries": entries, "more": scan.more } })
        }
        Answer::Count(count) => json!({ "count": { "count": count.count } }),
        Answer::Put(_) => json!({ "put": {} }),
        Answer::Delete(delete) => json!({ "delete": { "existed": delete.existed } }),
        Answer::DeleteRange(delete) => json!({ "deleteRange": { "deleted": delete.deleted } }),
        Answer::Increment(sum) => json!({ "increment": { "value": sum.value } }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn json_says_what_a_script_can() {
        let text = r#"{
            "if": [
                {"key": "a", "exists": true}, {"key": "b", "is": ">", "value": "1"},
                {"prefix": "lock/", "exists": false},
                {"from": "a", "to": "b", "is": "<", "revision": 7}
            ],
            "then": [
                {"increment": {"key": "n", "by": -3}},
                {"put": {"key": "k", "valueBase64": "AP8=", "ttl": "2m"}},
                {"scan": {"prefix": "a/", "limit": 5, "reverse": true, "keysOnly": true}}
            ],
            "else": [
                {"get": {"key": "a"}}, {"count": {}}, {"delete": {"key": "k"}},
                {"deleteRange": {"from": "x"}}
            ]
        }"#;
        let range = Range::prefix("a/");
        let expected = Transaction::new()
            .when(Check::exists("a"))
            .when(Check::value("b", Relation::Greater, "1"))
            .when(Check::none_in(Range::prefix("lock/")))
            .when(Check::every_revision(Range::between("a", "b"), Relation::Less, 7))
            .then(Step::increment("n", -3))
            .then(Step::put_expiring("k", &b"\x00\xff"[..], Duration::from_secs(120)))
            .then(Step::Scan { range, reverse: true, limit: 5, keys_only: true })
            .otherwise(Step::get("a"))
            .otherwise(Step::Count(Range::all()))
            .otherwise(Step::delete("k"))
            .otherwise(Step::DeleteRange(Range::between("x", "")));
        assert_eq!(read(text.as_bytes()), Ok(expected));
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        for (text, what) in [
            ("{", "EOF"),
            ("[]", "must be an object"),
            (r#"{"them": []}"#, "\"them\" is not known here"),
            (r#"{"then": [{"get": {}}]}"#, "then[0]: \"key\" is missing"),
            (r#"{"else": [{"fetch": {"key": "a"}}]}"#, "else[0]: \"fetch\" is no operation"),
            (
                r#"{"then": [{"put": {"key": "a", "value": "b", "ttl": 1}}]}"#,
                "\"ttl\" is 1: write for instance",
            ),
            (r#"{"if": [{"key": "a"}]}"#, "if[0]: give one of"),
            (r#"{"if": [{"key": "a", "is": "~", "value": ""}]}"#, "one of =, !=, <, >"),
            (r#"{"then": [{"increment": {"key": "a", "by": 0.5}}]}"#, "whole number"),
        ] {
            let told = read(text.as_bytes()).unwrap_err();
            assert!(told.contains(what), "{text}: {told}");
        }
    }

    #[test]
    fn every_kind_of_answer_is_printed() {
        let answers = [
            Answer::Get(v1::GetAnswer {
                found: true,
                value: "v".into(),
                value_revision: 4,
                ..Default::default()
            }),
            Answer::Get(v1::GetAnswer::default()),
            Answer::Scan(v1::ScanAnswer {
                entries: vec![v1::ScanEntry { key: "k".into(), value: "v".into(), revision: 3 }],
                more: true,
            }),
            Answer::Count(v1::CountAnswer { count: 7 }),
            Answer::Put(v1::PutAnswer {}),
            Answer::Delete(v1::DeleteAnswer { existed: true }),
            Answer::DeleteRange(v1::DeleteRangeAnswer { deleted: 2 }),
            Answer::Increment(v1::IncrementAnswer { value: -1 }),
        ];
        let answers = answers.map(|answer| v1::OperationAnswer { answer: Some(answer) }).into();
        let response = v1::TransactResponse { conditions_met: true, answers, ..Default::default() };
        let expected = json!({
            "conditionsMet": true,
            "answers": [
                {"get": {"found": true, "value": "v", "revision": 4}}, {"get": {"found": false}},
                {"scan": {"entries": [{"key": "k", "value": "v", "revision": 3}], "more": true}},
                {"count": {"count": 7}}, {"put": {}}, {"delete": {"existed": true}},
                {"deleteRange": {"deleted": 2}}, {"increment": {"value": -1}}
            ]
        });
        assert_eq!(answered(&response), expected);
    }
}
