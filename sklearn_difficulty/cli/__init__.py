# SPDX-License-Identifier: BSD-3-Clause
"""The command line: what it reads, trains and prints; nothing else imports from here."""
