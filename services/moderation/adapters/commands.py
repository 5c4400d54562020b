"""Finds passwords that stand in command lines, by the option that each program has for them."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any

import re2  # type: ignore[import-untyped]

from services.moderation.adapters.credentials import is_mixed, stands_for_one
from services.moderation.adapters.signs import Signs

COMMAND_PASSWORD = "command-password"  # noqa: S105

Find = tuple[int, int, str]

# The rest of a command between its name and an option.
_REST = rb"(?:[^\n\\|;&]|\\[^\n]|\\\n)*?"
_GAP = rb"(?:[ \t]|\\\n|[\"'],[ \t]?[\"'])[ \t]{0,8}"
# Between an option and its value, also where a program has both in a list.
_SET = rb"(?:[ \t]{1,4}|=|\\?[\"'],[ \t]?\\?[\"'])"
# It ends where another script begins, whose letters may be words.
_BARE = rb"[!#-%*+./-:=?-\[\]-_a-{}~][!#-%*-:=?-\[\]-_a-{}~]{2,200}"
_VALUE = rb"(?:\\{0,3}\"([^\"\n\\]{3,200})|'([^'\n]{3,200})|(" + _BARE + rb"))"
# In quotes that have not ended.
_OPEN = rb"(?:\\{0,3}\"[^\"\n\\]{0,200}|'[^'\n]{0,200})\z"


@dataclass(frozen=True, slots=True)
class _Command:
    # One of these stands in every such command.
    signs: tuple[bytes, ...]
    pattern: Any
    # Where a value in quotes begins that has not ended; None: values have none.
    begun: Any
    # Whether letters alone may be a password: where nothing else stands behind the option.
    sure: bool = True


# A program's name in a pattern of names.
_SIGN = re2.compile(rb"[a-z0-9]*[a-z][a-z0-9]*")


def _command(names: bytes, option: bytes, *, sure: bool = True) -> _Command:
    before = rb"\b(?:" + names + rb")\b" + _REST + _GAP + option
    signs = tuple(name for name in _SIGN.findall(names) if len(name) > 1)
    signs = (b"login",) if b"login" in signs else signs
    begun = re2.compile(before + rb"(" + _OPEN + rb")")
    return _Command(signs, re2.compile(before + _VALUE), begun, sure)


_USER = rb"[\"']?[^\s\"':;|&]{1,64}:"
_COMMANDS = (
    _command(rb"(?:mysql|mariadb)[a-z-]{0,12}", rb"(?:-p|--password=)"),
    _command(rb"sshpass", rb"-p" + _SET + rb"?"),
    _command(
        rb"(?:docker|podman|nerdctl|buildah|skopeo|crane|oras|helm registry) login",
        rb"(?:-p|--password)" + _SET + rb"?",
    ),
    _command(rb"(?:az|oc|mc|cf|argocd|vault) login", rb"(?:-p|--password)" + _SET),
    _command(rb"redis-cli", rb"(?:-a|--pass)" + _SET + rb"?"),
    _command(rb"(?:mongo[a-z]{0,8}|cqlsh)", rb"(?:-p|--password)" + _SET),
    _command(rb"clickhouse[a-z-]{0,8}|svn|wget|gpg2?|ftp|lftp", rb"--pass(?:word|phrase)" + _SET),
    _command(rb"wget", rb"--(?:http|ftp|proxy)-password" + _SET),
    _command(rb"sqlcmd|bcp|isql|osql", rb"-P" + _SET + rb"?"),
    _command(rb"ldap[a-z]{3,8}", rb"-w" + _SET + rb"?"),
    _command(rb"htpasswd", rb"-[a-zA-Z]{0,4}b[a-zA-Z]{0,4}[ \t]+\S{1,200}[ \t]+\S{1,64}[ \t]+"),
    _command(rb"smbclient|smbmap|rpcclient", rb"-U" + _SET + rb"?[\"']?[^\s\"'%]{1,64}%"),
    _command(rb"openssl", rb"-pass(?:in|out)?" + _SET + rb"pass:"),
    _command(rb"7z[a-z]{0,2}|unrar|rar", rb"-h?p"),
    _command(rb"unzip|zip", rb"-P" + _SET + rb"?"),
    _command(rb"keytool|jarsigner", rb"-(?:store|key|dest|src|new)[a-z]{0,8}pass" + _SET),
    _command(rb"snmp[a-z]{3,8}", rb"-[AX]" + _SET),
    _command(rb"curl", rb"(?:-[a-zA-Z]{0,8}[uU]|--(?:proxy-)?user)" + _SET + rb"?" + _USER),
    _command(rb"http|https|xh", rb"(?:-a|--auth)" + _SET + _USER),
    _command(
        rb"(?:docker|podman|nerdctl) (?:compose )?(?:run|create|exec)",
        rb"(?:-e|--env)" + _SET + rb"[A-Z0-9_]{0,40}PASS(?:WORD|WD|PHRASE)?=",
        sure=False,
    ),
    _command(rb"kubectl", rb"--(?:docker-|from-literal=\w{0,32})pass(?:word|wd|phrase)=?"),
)
_FORMS = (
    # What programs read from their environment.
    _Command(
        (b"PASS", b"PWD", b"_AUTH"),
        re2.compile(
            rb"\b(?:PGPASSWORD|MYSQL_PWD|SSHPASS|REDISCLI_AUTH|RESTIC_PASSWORD|BORG_PASSPHRASE"
            rb"|SQLCMDPASSWORD|RSYNC_PASSWORD|LDAP_BIND_PASSWORD)(?:=|: {1,4})" + _VALUE
        ),
        re2.compile(rb"\b(?:PGPASSWORD|MYSQL_PWD|SSHPASS|REDISCLI_AUTH)=(" + _OPEN + rb")"),
    ),
    # What a database is told.
    _Command(
        (b"dentified", b"DENTIFIED", b"assword", b"ASSWORD"),
        re2.compile(
            rb"(?i)\b(?:identified (?:with [a-z0-9_']{1,40} )?by(?: password)?"
            rb"|(?:user|role|login) [^\n;]{1,100}\bpassword) ?=? ?()'([^'\n]{3,200})'()"
        ),
        re2.compile(
            rb"(?i)\b(?:identified (?:with [a-z0-9_']{1,40} )?by(?: password)?"
            rb"|(?:user|role|login) [^\n;]{1,100}\bpassword) ?=? ?('[^'\n]{0,200})\z"
        ),
    ),
    _Command(
        (b"requirepass", b"masterauth"),
        re2.compile(rb"\b(?:requirepass|masterauth)[ \t]{1,8}" + _VALUE),
        None,
    ),
    # Of any program.
    _Command(
        (b"--",),
        re2.compile(rb"--(?:[a-z]{1,20}-){0,3}pass(?:word|wd|phrase)?" + _SET + _VALUE),
        None,
        sure=False,
    ),
    # What Oracle's programs get.
    _Command(
        (b"sqlplus", b"expdp", b"impdp", b"sqlldr", b"jdbc:oracle"),
        re2.compile(
            rb"(?:\b(?:sqlplus|expdp|impdp|sqlldr|rman)[ \t](?:-[a-zA-Z]{1,8}[ \t])?[ \t]{0,4}"
            rb"|\bjdbc:oracle:[a-z0-9]{1,8}:)[\"']?\w{1,64}/"
            rb"()()([^\s\"'`@/\\]{3,128})@"
        ),
        None,
    ),
    # What is handed to a program that reads it.
    _Command(
        (b"echo ", b"printf "),
        re2.compile(
            rb"\b(?:echo|printf) (?:-[ne]{1,2} )?(?:\\?[\"']?[a-z_][a-z0-9_-]{0,31}:)?"
            + _VALUE
            + rb"\\?[\"']?[ \t]{0,4}\|[ \t]{0,4}"
            rb"(?:sudo -S|(?:sudo )?chpasswd|[a-z][a-z0-9 ._/-]{1,80}(?:--password-stdin|--stdin))"
        ),
        re2.compile(
            rb"\b((?:echo|printf) (?:-[ne]{1,2} )?"
            rb"(?:\\?\"[^\"\n]{0,100}\"?|'[^'\n]{0,100}'?|[^\s|\"']{0,100})"
            rb"[ \t]{0,4}(?:\|[a-z0-9 ._/-]{0,100})?)\z"
        ),
    ),
)
_ALL = Signs((command, command.signs) for command in (*_COMMANDS, *_FORMS))
# What may stand behind `-p` and is no password: the rest of another option, or ports.
_OPTION = re2.compile(rb"(?:ort|rotocol|ager|rint|rompt|lugin|ipe|arams?)(?:=|$)|[0-9.]+:[0-9:]+$")


def command_passwords(raw: bytes) -> Iterator[Find]:
    for command in _ALL.forms_for(raw):
        for match in command.pattern.finditer(raw):
            yield from _password(match, sure=command.sure)


def _password(match: Any, *, sure: bool) -> Iterator[Find]:
    group = next((number for number in (1, 2, 3) if match[number]), 3)
    start, end = match.span(group)
    value = match[group]
    if group == 3:
        value = value.rstrip(b".,:;!?*]})")
        end = start + len(value)
    if len(value) < 3 or _OPTION.match(value) or stands_for_one(value):
        return
    if stands_for_one(value.rpartition(b":")[2]):
        return
    if sure or is_mixed(value):
        yield start, end, COMMAND_PASSWORD


def open_command(line: bytes) -> int:
    """Where a password begins that later text of the line may belong to; else the line's length."""
    begins = chain.from_iterable(
        command.begun.finditer(line) for command in _ALL.forms_for(line) if command.begun
    )
    return min((match.start(1) for match in begins), default=len(line))
