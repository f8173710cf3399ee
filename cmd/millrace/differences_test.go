package main_test

import (
	"fmt"
	"os"
	"path"
	"strings"
	"testing"
)

// difference is one or more scenarios that RabbitMQ 3.10 does not pass, on
// purpose of ours: `make compat` expects them to fail there.
type difference struct {
	scenario string // as path.Match knows it: package, test, and subtest down to the one that fails
	clause   string
	reason   string
}

func (d difference) covers(scenario string) bool {
	match, err := path.Match(d.scenario, scenario)
	return match && err == nil
}

// differences is the one place that says where we differ from RabbitMQ 3.10
// in what a scenario can see; docs/compatibility.md shows it to readers.
var differences = []difference{
	{"millrace/TestMessageExpiresBehindOthers", "TTL-02", "a message expires when its time is over, also behind one that stays; RabbitMQ looks at the head only"},
	{"millrace/TestPolicyExpiresWhatIsInTheQueueAlready", "POL-04", "a TTL of a policy holds for what is in the queue already; RabbitMQ gives it to what comes after"},
	{"millrace/TestRecentHistory", "EXCH-01", "an exchange that is bound is told the last messages oldest first, like a queue; RabbitMQ tells it newest first"},
	{"session/TestServerSaysWhatItIs", "CONN-02", "each broker tells its own name, version and cluster"},
	{"session/TestProtocolHeaders/0-8", "HDR-01", "AMQP 0-8 is not served, as in RabbitMQ 4"},
	{"session/TestFramesAreSmallBeforeTheTuning", "WIRE-03", "frames may have 8192 octets before tune-ok, as in RabbitMQ 4; 4096 in 3.10"},
	{"session/TestLogin/authorisation_identity", "CONN-07", "a login that cannot be read is answered with 403; RabbitMQ hangs up"},
	{"session/TestLogin/too_*_parts", "CONN-07", "a login that cannot be read is answered with 403; RabbitMQ hangs up"},
	{"session/TestLogin/nothing", "CONN-07", "a login that cannot be read is answered with 403; RabbitMQ hangs up"},
	{"session/TestLogin/amqplain_without_a_password", "CONN-07", "a login that cannot be read is answered with 403; RabbitMQ hangs up"},
	{"session/TestLogin/amqplain_that_is_no_table", "CONN-07", "a login that cannot be read is answered with 403; RabbitMQ hangs up"},
	{"session/TestLogin/mechanism_not_offered", "CONN-07", "a login that cannot be read is answered with 403; RabbitMQ hangs up"},
	{"session/TestLogin/no_mechanism", "CONN-07", "a login that cannot be read is answered with 403; RabbitMQ hangs up"},
	{"session/TestTuning/no_*_limit", "CONN-12", "a refused tune-ok is answered with 530; RabbitMQ hangs up"},
	{"session/TestTuning/more_channels", "CONN-12", "a refused tune-ok is answered with 530; RabbitMQ hangs up"},
	{"session/TestTuning/larger_frames", "CONN-12", "a refused tune-ok is answered with 530; RabbitMQ hangs up"},
	{"session/TestTuning/small_frames", "CONN-12", "a refused tune-ok is answered with 530; RabbitMQ hangs up"},
	{"session/TestMethodsOutOfOrderEndTheHandshake/channel_before_open", "CONN-09", "nothing is said before open-ok; RabbitMQ answers what comes after tune-ok"},
	{"session/TestMethodsOutOfOrderEndTheHandshake/tune-ok_twice", "CONN-09", "nothing is said before open-ok; RabbitMQ answers what comes after tune-ok"},
	{"session/TestMethodsOutOfOrderEndTheHandshake/new_secret_before_open", "CONN-09", "nothing is said before open-ok; RabbitMQ answers what comes after tune-ok"},
	{"session/TestCloseDuringTheHandshakeIsAnswered", "CONN-09", "a close during the handshake is answered; RabbitMQ hangs up"},
	{"session/TestServerHangsUpWhenItHasAgreedToClose", "ERR-08", "the server hangs up behind its close-ok; RabbitMQ leaves that to the client"},
	{"session/TestChannelMayBeOpenedRightBehindItsClose", "ERR-06", "channel.open may follow channel.close at once; RabbitMQ 3.10 may not have cleaned up yet"},
	{"session/TestRepliesComeInTheOrderOfTheRequests", "CHAN-05", "answers are never swapped; RabbitMQ's consume-ok may come behind later answers"},
	{"session/TestAnswerToACancelIsIgnored", "CONS-07", "basic.cancel-ok is ignored; RabbitMQ closes the connection"},
	{"session/TestRefusals/exchange_of_*_type", "EXCH-02", "an unknown exchange type costs the channel, as in RabbitMQ 4; 3.10 closes the connection"},
	{"session/TestSilentMethodsStillFail/exchange.declare", "EXCH-02", "an unknown exchange type costs the channel, as in RabbitMQ 4; 3.10 closes the connection"},
	{"session/TestRefusals/credit", "CHAN-07", "basic.credit is unknown, as in RabbitMQ 4"},
	{"session/TestSingleActiveConsumerAndTheOthers", "SAC-05", "the next consumer takes over at once; in RabbitMQ 3.10 it waits for another message, and the queue may crash"},
	{"session/TestLargeReturnsAndRepliesComeInOrder", "REPLY-03", "direct replies are counted like other deliveries; in RabbitMQ each has the delivery tag 1"},
	{"session/TestTranscripts/consumer-timeout", "CONS-12", "x-consumer-timeout is a queue's, as in RabbitMQ 4; 3.10 has one for all"},
	{"session/TestTranscripts/quorum", "QQ-02", "x-delivery-count comes with redeliveries and does not count nacks, as in RabbitMQ 4; 3.10 has it on the first delivery too, and counts all returns"},
	{"session/TestRefusedTransactionHasNoEffect", "TX-04", "a transaction that a queue refuses has no effect; RabbitMQ applies the rest"},
	{"session/TestTransactionRoutesWhenItPublishes", "TX-06", "a transaction routes when it publishes, as in RabbitMQ 4; 3.10 routes at the commit"},
	{"session/TestMethodsBehindACommitWaitForIt", "TX-07", "methods behind a commit wait for it; RabbitMQ 3.10 answers with 504"},
	{"session/TestMalformedInputEndsItsConnectionOnly/*body_longer_than_*", "WIRE-04", "a body longer than declared is refused, as in RabbitMQ 4; 3.10 takes the surplus"},
	{"session/TestMalformedInputEndsItsConnectionOnly/body_of_*", "WIRE-15", "a body over 512 MiB is refused when it is announced, as in RabbitMQ 4"},
	{"session/TestMalformedInputEndsItsConnectionOnly/exchange_that_is_not_UTF-8", "WIRE-13", "an exchange that is not UTF-8 is refused in a publish too; there RabbitMQ says that it is missing"},
	{"session/TestMalformedInputEndsItsConnectionOnly/flags_of_*", "WIRE-08", "flags of properties that do not exist are refused; RabbitMQ looks when it must"},
	{"session/TestMalformedInputEndsItsConnectionOnly/*propert*", "WIRE-05", "properties that cannot be read are a frame error; RabbitMQ answers 541"},
	{"session/TestMalformedInputEndsItsConnectionOnly/header*_the_frame", "WIRE-05", "properties that cannot be read are a frame error; RabbitMQ answers 541"},
	{"session/TestMalformedInputEndsItsConnectionOnly/header_without_flags", "WIRE-05", "properties that cannot be read are a frame error; RabbitMQ answers 541"},
	{"session/TestMalformedInputEndsItsConnectionOnly/value_*", "WIRE-14", "a table that cannot be read is a syntax error; RabbitMQ hangs up"},
	{"session/TestMalformedInputEndsItsConnectionOnly/array_longer_than_its_table", "WIRE-14", "a table that cannot be read is a syntax error; RabbitMQ hangs up"},
	{"session/TestMalformedInputEndsItsConnectionOnly/table_nested_200_times", "WIRE-10", "tables are read to a depth of 64"},
	{"session/TestMalformedInputEndsItsConnectionOnly/unknown_*", "CHAN-07", "an unknown method is a 503; RabbitMQ hangs up"},
}

// The table of differences is in docs/compatibility.md too, for readers.
func TestDifferencesAreDocumented(t *testing.T) {
	const page, heading = "../../docs/compatibility.md", "## Differences from RabbitMQ 3.10\n"
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(text), heading)
	if !found {
		t.Fatalf("%s has no section %q", page, heading)
	}
	section, _, _ = strings.Cut(section, "\n## ")
	var want strings.Builder
	want.WriteString("| clause | Millrace, and RabbitMQ | scenario |\n| --- | --- | --- |\n")
	for _, d := range differences {
		fmt.Fprintf(&want, "| %s | %s | `%s` |\n", d.clause, d.reason, d.scenario)
	}
	if !strings.Contains(section, want.String()) {
		t.Errorf("the section %q of %s does not show the table of differences, which is\n\n%s", strings.TrimSpace(heading), page, &want)
	}
}
