//! Rolling back: each case on PostgreSQL, MariaDB and SQLite, and those that apply on DynamoDB Local.

mod bench;
mod cases;
mod dynamodb;
#[cfg(feature = "faults")]
mod scale;

use bench::{Bench, Kind};

/// A test of each case for a store.
macro_rules! on {
    ($store:ident, $kind:expr, [$($(#[$attribute:meta])* $case:ident),* $(,)?]) => {
        mod $store {
            $(
                $(#[$attribute])*
                #[test]
                fn $case() {
                    super::cases::$case(super::Bench::new($kind));
                }
            )*
        }
    };
}

/// The cases that every store with SQL has.
macro_rules! on_sql {
    ($store:ident, $kind:expr) => {
        on!(
            $store,
            $kind,
            [
                target_edited_later,
                #[cfg(feature = "faults")]
                killed_in_the_middle,
                run_twice,
                keys_that_are_spelled_otherwise,
                keys_whose_columns_have_each_others_names,
                #[cfg(feature = "faults")]
                an_undo_that_is_killed_and_left,
                row_already_deleted,
                key_recreated_by_others,
                migrated_and_rolled_back_twice,
                one_key_written_by_two_runs,
                replay_keeps_the_first_old_image,
                children_before_parents,
                rows_of_others_are_not_cascaded_away,
                abort_in_the_middle,
                verify_wants_all_of_a_run,
                referred_values_stay,
                triggers_and_generated_columns,
                triggers_over_two_runs,
                soft_deleted_row,
                version_goes_forward,
                #[cfg(feature = "faults")]
                torn_segment,
                #[cfg(feature = "faults")]
                image_captured_and_never_committed,
                #[cfg(feature = "faults")]
                unfinished_runs_that_are_left,
                somebody_works_between_runs,
                what_is_back_stays_back,
                all_that_is_back_is_pending,
                #[cfg(feature = "faults")]
                what_only_the_target_knew_stays_known,
                unique_values_change_places,
                a_table_that_refers_to_itself,
                schema_changed_since,
                values_kept_outside_the_row,
                large_binary_and_exact_values,
                single_records_and_versions,
                merge_force_and_abort,
                since_a_time,
                a_rollback_is_undone,
                rolled_back_records_are_pending,
                a_damaged_manifest_is_refused,
            ]
        );
    };
}

on_sql!(postgres, super::Kind::postgres());
on_sql!(mariadb, super::Kind::mariadb());
on_sql!(sqlite, super::Kind::Sqlite);
