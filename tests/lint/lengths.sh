#!/usr/bin/env bash
# A report, not a rule: files of more than 600 lines. What is the second subject?
set -euo pipefail
git ls-files '*.rs' | xargs wc -l | awk '$2 != "total" && 600 < $1 { print "lengths: " $2 ": " $1 " lines"; long++ }
    END { print "lengths: " long + 0 " files of more than 600 lines" }'
