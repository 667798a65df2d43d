use super::*;
use doug_proto::v1::{GetRequest, GetResponse, PutRequest, PutResponse};
use std::task::Waker;
use tonic::Code;

fn get() -> Operation {
    Operation::Get(GetRequest::default())
}

fn value(bytes: usize) -> Answer {
    Answer::Get(GetResponse { value: vec![b'v'; bytes].into(), ..Default::default() })
}

fn settle(account: &Arc<Account>, bytes: usize) -> (Answer, Held) {
    account.expect(Some(&get())).settle(value(bytes))
}

fn room(account: &Account) -> bool {
    let mut context = Context::from_waker(Waker::noop());
    let operation = get();
    let mut room = std::pin::pin!(account.room(Some(&operation)));
    room.as_mut().poll(&mut context).is_ready()
}

#[test]
fn a_connection_holds_at_most_its_share_and_reads_beyond_it_are_refused() {
    let answers = Answers::new(10 << 20);
    let account = answers.account();
    let (mut kept, mut refused) = (Vec::new(), 0);
    for _ in 0..100 {
        let (answer, held) = settle(&account, 512 << 10);
        match answer {
            Answer::Error(error) => {
                let fault = Fault::from_wire(error);
                assert_eq!(fault.code, Code::ResourceExhausted);
                assert!(fault.is_not_executed());
                refused += 1;
            }
            _ => kept.push(held),
        }
    }
    assert!(!kept.is_empty() && refused > 0);
    assert!(account.held() <= (10 << 20) / SHARE_OF_FREE, "{} held", account.held());
    drop(kept);
    assert_eq!((account.held(), answers.used()), (0, 0), "all is given back");
}

#[test]
fn however_many_connections_do_not_read_the_whole_stays_in_its_budget_and_one_more_is_served() {
    let answers = Answers::new(16 << 20);
    let greedy: Vec<_> = (0..200).map(|_| answers.account()).collect();
    let mut kept = Vec::new();
    for account in greedy.iter().cycle().take(20_000) {
        let (answer, held) = settle(account, 4 << 10);
        if !matches!(answer, Answer::Error(_)) {
            kept.push(held);
        }
    }
    assert!(answers.used() <= 16 << 20, "{} used", answers.used());
    let (answer, _held) = settle(&answers.account(), 64 << 10);
    assert!(matches!(answer, Answer::Get(_)), "a client that reads is served");
}

#[test]
fn a_write_that_is_done_is_told_whatever_is_held() {
    let answers = Answers::new(1 << 20);
    let account = answers.account();
    let put = Operation::Put(PutRequest::default());
    let mut kept = Vec::new();
    for _ in 0..10_000 {
        let answer = Answer::Put(PutResponse::default());
        let (answer, held) = account.expect(Some(&put)).settle(answer);
        assert!(matches!(answer, Answer::Put(_)));
        kept.push(held);
    }
}

#[test]
fn a_transaction_that_is_done_is_told_without_its_answers_where_they_have_no_room() {
    use doug_proto::v1::{self, operation_answer, transact_operation};
    let account = Answers::new(1 << 20).account();
    let get = v1::GetOperation { key: "k".into() };
    let put = v1::PutOperation { key: "l".into(), value: "v".into(), ..Default::default() };
    let operations =
        [transact_operation::Operation::Get(get), transact_operation::Operation::Put(put)];
    let operations = operations.map(|one| v1::TransactOperation { operation: Some(one) });
    let request = v1::TransactRequest { then: operations.into(), ..Default::default() };
    let asked = Operation::Transact(request);
    let value = vec![b'v'; 200 << 10].into();
    let got = v1::GetAnswer { found: true, value, ..Default::default() };
    let got = v1::OperationAnswer { answer: Some(operation_answer::Answer::Get(got)) };
    let done = TransactResponse {
        conditions_met: true,
        answers: vec![got, v1::OperationAnswer::default()],
        ..Default::default()
    };
    let mut kept = Vec::new();
    for number in 0..10 {
        let settled = account.expect(Some(&asked)).settle(Answer::Transact(done.clone()));
        let (Answer::Transact(told), held) = settled else { panic!("it is done") };
        assert!(told.conditions_met);
        assert_eq!(
            (told.answers.len(), told.answers_dropped),
            [(2, false), (0, true)][number.min(1)]
        );
        kept.push(held);
    }
}

#[test]
fn operations_wait_while_the_share_is_full_and_go_on_when_answers_are_taken() {
    let answers = Answers::new(16 << 20);
    let account = answers.account();
    assert!(room(&account));
    let mut kept = Vec::new();
    while room(&account) {
        let (answer, held) = settle(&account, 100 << 10);
        assert!(matches!(answer, Answer::Get(_)), "what was begun with room is not refused");
        kept.push(held);
    }
    assert!(room(&answers.account()), "another connection is not held up");
    drop(kept);
    assert!(room(&account));
}

#[test]
fn operations_under_way_count_as_large_as_the_answers_of_late() {
    let answers = Answers::new(16 << 20);
    let account = answers.account();
    drop(settle(&account, 1 << 20));
    let under_way = |account: &Arc<Account>| {
        let mut begun = Vec::new();
        while room(account) && begun.len() < 1_000 {
            begun.push(account.expect(Some(&get())));
        }
        begun.len()
    };
    assert!(under_way(&account) <= 4, "each may bring a mebibyte");
    for _ in 0..100 {
        drop(settle(&account, 10));
    }
    assert_eq!(under_way(&account), 1_000, "small answers let many go at once");
}

#[test]
fn the_largest_answer_always_fits_alone() {
    let answers = Answers::new(4 << 20);
    let account = answers.account();
    let (answer, held) = settle(&account, 2 << 20);
    assert!(matches!(answer, Answer::Get(_)));
    let (second, _) = settle(&account, 2 << 20);
    assert!(matches!(second, Answer::Error(_)));
    drop(held);
    let (third, _) = settle(&account, 2 << 20);
    assert!(matches!(third, Answer::Get(_)));
}
