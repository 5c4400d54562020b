"""Passwords in command lines; all are made up."""

import pytest

from services.moderation.adapters.secrets import open_secrets

SECRETS = open_secrets()
COMMANDS = (
    "mysql -u root -p{} shop",
    "mysqldump -h db -u ann -p'{}' shop",
    "mysql --user=ann --password={} shop",
    "mysql -u ann \\\n  -p{} \\\n  shop",
    "curl -sSu ann:{} https://x.org",
    "curl -X POST -U 'ann:{}' -x proxy:3128 https://x.org",
    "sshpass -p {} ssh ann@h",
    "sshpass -p'{}' scp a b",
    '["sshpass", "-p", "{}", "ssh", "ann@h"]',
    "docker login -u ann -p {} r.io",
    "docker login --username ann --password {}",
    "docker run -d -e POSTGRES_PASSWORD={} postgres:16",
    "PGPASSWORD={} psql -h db",
    "PGPASSWORD='{}' psql -h db",
    "export MYSQL_PWD={}",
    "redis-cli -h h -a {} ping",
    "redis-cli --pass {} info",
    "az login -u ann@x.org -p {}",
    "mongosh --username ann --password {}",
    "mongodump -u ann -p {} --out x",
    "sqlcmd -S h -U sa -P {}",
    "ldapsearch -x -D cn=admin -w {}",
    "htpasswd -bc f ann {}",
    "smbclient //h/s -U ann%{}",
    "openssl rsa -passin pass:{} -in k",
    "echo '{}' | sudo -S apt update",
    "echo 'ann:{}' | sudo chpasswd",
    "echo {} | docker login -u ann --password-stdin",
    "wget --user=ann --password={} http://x",
    "sqlplus ann/{}@db",
    "7z x a.7z -p{}",
    "unzip -P {} a.zip",
    "keytool -list -storepass {}",
    "snmpwalk -v3 -u ann -A {} h",
    "http -a ann:{} example.org",
    "kubectl create secret generic db --from-literal=password={}",
    "docker login -p{} -u ann",
    "redis-cli -a{} ping",
    "printf '{}' | docker login --password-stdin",
    "ALTER USER ann WITH PASSWORD '{}';",
    "CREATE USER 'ann'@'%' IDENTIFIED BY '{}';",
    "CREATE LOGIN ann WITH PASSWORD = '{}'",
    "requirepass {}",
    "some-program --admin-password {} run",
)


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("around", ["{}", "Run `{}`, then wait.", "$ {}\n"])
def test_a_password_in_a_command_is_found_and_nothing_around_it(command: str, around: str) -> None:
    text = around.format(command.format("kT9wQ2x"))
    assert "kT9wQ2x" in [text[span.start : span.end] for span in SECRETS.find(text)]


@pytest.mark.parametrize("password", ["changeme", "$PASSWORD", "${PW}", "<password>", "YOUR_PW"])
@pytest.mark.parametrize("command", COMMANDS)
def test_what_stands_for_a_password_stays(command: str, password: str) -> None:
    assert SECRETS.find(command.format(password)) == []


def test_a_password_in_quotes_may_hold_blanks_and_is_open_until_they_end() -> None:
    text = "mysqldump -u ann -p'kT9 wQ2x' shop"
    assert [text[span.start : span.end] for span in SECRETS.find(text)] == ["kT9 wQ2x"]
    assert SECRETS.settled("mysqldump -u ann -p'kT9 ") == 19
    assert SECRETS.settled(text) == len(text)


def test_what_may_be_handed_to_another_program_is_open_until_that_is_known() -> None:
    assert SECRETS.settled("so echo kT9wQ2x | su") == 3
    assert SECRETS.settled("so echo of the past ") == 20
