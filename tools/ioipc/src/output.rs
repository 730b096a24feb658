// SPDX-License-Identifier: MIT

//! Standard output, for people or as JSON.

use std::io::{stdout, BufWriter, StdoutLock, Write};

use serde::Serialize;

use crate::failure::Failure;

pub(crate) struct Output {
    pub(crate) is_json: bool,
    writer: BufWriter<StdoutLock<'static>>,
}

impl Output {
    pub(crate) fn new(is_json: bool) -> Self {
        Self {
            is_json,
            writer: BufWriter::new(stdout().lock()),
        }
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        Ok(self.writer.write_all(bytes)?)
    }

    pub(crate) fn line(&mut self, line: impl AsRef<[u8]>) -> Result<(), Failure> {
        self.bytes(line.as_ref())?;
        self.bytes(b"\n")
    }

    pub(crate) fn json(&mut self, value: &impl Serialize) -> Result<(), Failure> {
        let line = serde_json::to_string(value);
        self.line(line.expect("the values have only strings as keys"))
    }

    /// Prints JSON, or a line for people.
    pub(crate) fn either(
        &mut self,
        value: &impl Serialize,
        line: impl AsRef<[u8]>,
    ) -> Result<(), Failure> {
        if self.is_json {
            self.json(value)?;
        } else {
            self.line(line)?;
        }
        self.flush()
    }

    pub(crate) fn flush(&mut self) -> Result<(), Failure> {
        Ok(self.writer.flush()?)
    }

    /// Prints rows in columns. The columns whose headings are among these are words, and stand at
    /// the left; numbers stand at the right.
    pub(crate) fn table(&mut self, words: &[&str], rows: &[Vec<String>]) -> Result<(), Failure> {
        for line in columns(words, rows) {
            self.line(line)?;
        }
        Ok(())
    }
}

/// The lines of a table whose first row has the headings.
pub(crate) fn columns(words: &[&str], rows: &[Vec<String>]) -> Vec<String> {
    let Some(headings) = rows.first() else {
        return Vec::new();
    };
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let widths: Vec<usize> = (0..headings.len()).filter_map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(headings).zip(&widths);
        let cells = cells.map(|((cell, heading), &width)| {
            if words.contains(&&**heading) {
                format!("{cell:<width$}")
            } else {
                format!("{cell:>width$}")
            }
        });
        let line: Vec<String> = cells.collect();
        line.join("  ").trim_end().into()
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_left_and_numbers_right() {
        let row = |cells: [&str; 2]| cells.map(String::from).to_vec();
        let rows = [
            row(["NAME", "SENT"]),
            row(["a", "1"]),
            row(["longer", "12345"]),
        ];
        assert_eq!(
            columns(&["NAME"], &rows),
            ["NAME     SENT", "a           1", "longer  12345"]
        );
        assert!(columns(&[], &[]).is_empty());
    }
}
