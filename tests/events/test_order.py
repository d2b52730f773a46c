from server.events.order import in_order


def a_row(frame, *events):
    raised = f',"events":[{",".join(map(str, events))}]' if events else ""
    return f'{{"frame":{frame}{raised}}}'.encode()


def an_event(seq):
    return b'{"seq":%d}' % seq


def ordered(rows, events):
    return [data for _, data in in_order(rows, [an_event(seq) for seq in events])]


def test_events_follow_the_result_of_their_frame_and_those_of_none_come_last():
    rows = [a_row(0), a_row(1, 1, 2), a_row(2), a_row(3, 3)]
    assert ordered(rows, [1, 2, 3, 4, 5]) == [
        *rows[:2],
        an_event(1),
        an_event(2),
        *rows[2:],
        an_event(3),
        an_event(4),
        an_event(5),
    ]


def test_a_result_whose_events_are_still_being_written_waits_for_them():
    rows = [a_row(0, 1), a_row(1, 2, 3), a_row(2)]
    assert ordered(rows, [1, 2]) == [rows[0], an_event(1)]


def test_an_object_of_that_name_is_no_event():
    row = b'{"frame":0,"objects":[{"label":"\\"events\\":[1,2]"}]}'
    assert ordered([row], []) == [row]
