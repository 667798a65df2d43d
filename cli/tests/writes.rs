//! What `doug put` asks of the database: which value, and under which condition.

mod support;

use doug_proto::v1::PutRequest;
use doug_proto::v1::condition::Test;
use std::process::Stdio;
use support::{Asked, facade};
use tokio::io::AsyncWriteExt;

/// Runs `doug put` with an input. What it asked to be written.
async fn put(arguments: &[&str], input: &[u8]) -> PutRequest {
    let (address, mut hears, may_answer) = facade().await;
    may_answer.add_permits(1);
    let mut child = tokio::process::Command::new(env!("CARGO_BIN_EXE_doug"))
        .arg("put")
        .args(arguments)
        .args(["--timeout", "60s"])
        .env("DOUG_ENDPOINT", address.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input).await.unwrap();
    drop(stdin);
    let output = child.wait_with_output().await.unwrap();
    assert!(output.status.success(), "{output:?}");
    loop {
        if let Asked::Put(put) = hears.recv().await.unwrap() {
            return put;
        }
    }
}

#[tokio::test]
async fn a_hyphen_reads_the_value_from_standard_input_byte_for_byte() {
    for arguments in [&["k", "-"][..], &["k", "--value-file", "-"], &["k", "-", "-o", "json"]] {
        let asked = put(arguments, b"\xff line\n").await;
        assert_eq!((&asked.key[..], &asked.value[..]), (&b"k"[..], &b"\xff line\n"[..]));
    }
    // The encoding is of the command line, and says how to write the value that is a hyphen.
    assert_eq!(&put(&["6b", "-", "--encoding", "hex"], b"00").await.value[..], b"00");
    assert_eq!(&put(&["6b", "2d", "--encoding", "hex"], b"unread").await.value[..], b"-");
}

#[tokio::test]
async fn the_condition_that_was_asked_for_is_the_one_that_is_sent() {
    for (arguments, test) in [
        (&["--if-absent"][..], Test::Exists(false)),
        (&["--if-revision", "7"], Test::Revision(7)),
        (&["--if-value", "-5"], Test::Value("-5".into())),
        (&["--if-value", ""], Test::Value("".into())),
    ] {
        let asked = put(&[&["k", "v"], arguments].concat(), b"").await;
        let condition = asked.condition.and_then(|condition| condition.test);
        assert_eq!(condition, Some(test), "{arguments:?}");
    }
}
