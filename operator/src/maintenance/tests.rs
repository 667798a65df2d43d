use super::*;
use proptest::prelude::*;

fn window(start: &str, duration: &str, zone: &str) -> MaintenanceWindow {
    MaintenanceWindow {
        start: start.to_owned(),
        duration: duration.to_owned(),
        time_zone: zone.to_owned(),
    }
}

fn windows(start: &str, duration: &str, zone: &str) -> Windows {
    Windows::parse(&[window(start, duration, zone)]).unwrap()
}

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn is_open(windows: &Windows, at: &str) -> bool {
    windows.at(time(at)) == Maintenance::Open
}

fn opens(windows: &Windows, at: &str) -> String {
    match windows.at(time(at)) {
        Maintenance::Closed(Some(when)) => when,
        other => panic!("{other:?}"),
    }
}

#[test]
fn without_windows_work_may_always_begin() {
    assert_eq!(Windows::default().at(time("2026-01-01T00:00:00Z")), Maintenance::Open);
}

#[test]
fn a_window_is_open_from_its_start_on_for_its_duration() {
    // Saturdays. The 5th of December 2026 is one.
    let windows = windows("0 2 * * SAT", "3h", "Europe/Berlin");
    assert!(!is_open(&windows, "2026-12-05T00:59:59Z"), "two o'clock there is one o'clock UTC");
    assert!(is_open(&windows, "2026-12-05T01:00:00Z"));
    assert!(is_open(&windows, "2026-12-05T03:59:59Z"));
    assert!(!is_open(&windows, "2026-12-05T04:00:00Z"));
}

#[test]
fn the_next_start_is_told_in_the_windows_own_time() {
    let windows = windows("0 2 * * SAT", "3h", "Europe/Berlin");
    assert_eq!(opens(&windows, "2026-12-05T00:00:00Z"), "2026-12-05 02:00 (Europe/Berlin)");
    assert_eq!(opens(&windows, "2026-12-05T04:00:00Z"), "2026-12-12 02:00 (Europe/Berlin)");
}

#[test]
fn of_several_windows_the_first_to_open_counts() {
    let declared =
        [window("0 2 * * SAT", "3h", "Europe/Berlin"), window("30 22 * * *", "1h", "UTC")];
    let windows = Windows::parse(&declared).unwrap();
    assert!(is_open(&windows, "2026-12-05T03:00:00Z") && is_open(&windows, "2026-12-05T23:00:00Z"));
    assert_eq!(opens(&windows, "2026-12-05T12:00:00Z"), "2026-12-05 22:30 (UTC)");
    assert_eq!(opens(&windows, "2026-12-04T23:45:00Z"), "2026-12-05 02:00 (Europe/Berlin)");
}

/// In Berlin, the 29th of March 2026 has no time from 02:00 to 03:00: 01:00 UTC is 03:00.
#[test]
fn a_start_that_a_clock_set_forward_leaves_out_is_the_moment_after() {
    let windows = windows("30 2 * * *", "1h", "Europe/Berlin");
    assert!(!is_open(&windows, "2026-03-29T00:59:59Z"));
    assert!(is_open(&windows, "2026-03-29T01:00:00Z"));
    assert!(!is_open(&windows, "2026-03-29T02:00:00Z"), "it lasts an hour, and no longer");
    assert!(is_open(&windows, "2026-03-30T00:30:00Z"), "the next day by summer time");
}

/// In Berlin, the 25th of October 2026 has the time from 02:00 to 03:00 twice: from 00:00 UTC, and
/// again from 01:00 UTC.
#[test]
fn a_start_that_a_clock_set_back_has_twice_opens_once() {
    let windows = windows("30 2 * * *", "20m", "Europe/Berlin");
    assert!(is_open(&windows, "2026-10-25T00:30:00Z"));
    assert!(!is_open(&windows, "2026-10-25T00:50:00Z"));
    assert!(!is_open(&windows, "2026-10-25T01:35:00Z"), "not a second time");
    assert!(is_open(&windows, "2026-10-26T01:30:00Z"), "the next day by winter time");
}

#[test]
fn a_duration_is_real_time_when_clocks_are_set_meanwhile() {
    let windows = windows("0 0 * * SUN", "6h", "Europe/Berlin");
    // Midnight there is 23:00 UTC in winter, 22:00 UTC in summer.
    assert!(
        is_open(&windows, "2026-03-29T04:59:59Z") && !is_open(&windows, "2026-03-29T05:00:00Z")
    );
    assert!(
        is_open(&windows, "2026-10-25T03:59:59Z") && !is_open(&windows, "2026-10-25T04:00:00Z")
    );
}

#[test]
fn a_window_longer_than_its_pause_is_always_open() {
    let windows = windows("0 * * * *", "2h", "UTC");
    assert!(
        ["00:00:00", "13:59:59", "23:30:00"]
            .iter()
            .all(|at| is_open(&windows, &format!("2026-06-01T{at}Z")))
    );
}

#[test]
fn what_cannot_be_is_refused_with_the_remedy() {
    let refusal = |start: &str, duration: &str, zone: &str| {
        Windows::parse(&[window(start, duration, zone)]).expect_err("it cannot be")
    };
    let texts = [
        refusal("at night", "3h", "UTC"),
        refusal("0 0 2 * * *", "3h", "UTC"),
        refusal("0 25 * * *", "3h", "UTC"),
        refusal("0 2 * * *", "3h", "Berlin"),
        refusal("0 2 * * *", "long", "UTC"),
        refusal("0 2 * * *", "5m", "UTC"),
        refusal("0 2 * * *", "200h", "UTC"),
    ];
    insta::assert_snapshot!(texts.join("\n"));
}

proptest! {
    /// Whatever the zone and the time of the year: at the moment that is told it is open, and it
    /// was not before.
    #[test]
    fn it_opens_when_it_is_said_to(
        seconds in 1_767_225_600_i64..1_798_761_600,
        hour in 0..24_u8,
        minute in 0..60_u8,
        zone in prop::sample::select(vec![
            "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "UTC",
        ]),
    ) {
        let windows = windows(&format!("{minute} {hour} * * *"), "1h", zone);
        let now = Timestamp::from_second(seconds).unwrap();
        if windows.at(now) != Maintenance::Open {
            let next = windows.0[0].next(now).expect("it opens every day").timestamp();
            prop_assert!(next > now);
            prop_assert_eq!(windows.at(next), Maintenance::Open);
            let before = next.checked_sub(SignedDuration::from_secs(1)).unwrap();
            prop_assert!(windows.at(before) != Maintenance::Open);
        }
    }
}
