//! Ten nodes lose power at once, and everything they had not synced.

use doug_sim::disk_omissions::Omission;
use doug_sim::run::{Report, report};
use doug_sim::scenarios::{all_nodes_lose_power, lose_power_thrice};

fn lose_power(omission: Omission) -> Report {
    let mut world = all_nodes_lose_power(7, omission);
    report(&mut world, |world| lose_power_thrice(world).map(drop))
}

#[test]
fn all_nodes_lose_all_unsynced_bytes_and_no_acknowledged_write_is_lost() {
    let report = lose_power(Omission::Nothing);
    assert_eq!(report.violation, None, "{:#?}", report.story);
    assert_eq!(report.coverage.get("process ended"), 30);
    assert!(report.coverage.get("write acknowledged") > 500, "{:#?}", report.coverage);
}

#[test]
fn without_the_fdatasync_of_the_log_the_same_check_fails() {
    let violation = lose_power(Omission::LogSync).violation;
    let violation = violation.expect("the loss of acknowledged writes is noticed");
    assert_eq!(violation.checker, "committed never lost", "{violation}");
}

#[test]
fn without_any_fdatasync_the_same_check_fails() {
    let violation = lose_power(Omission::EverySync).violation;
    violation.expect("the loss of acknowledged writes is noticed");
}

#[test]
fn without_the_fsync_of_directories_the_same_check_fails() {
    let violation = lose_power(Omission::DirectorySync).violation;
    violation.expect("the loss of acknowledged writes is noticed");
}
