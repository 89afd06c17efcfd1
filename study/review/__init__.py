"""`hastudy review`: one page for an architecture review, with everything in it and nothing fetched.

``circumstances`` makes the scenarios that the questions are about, ``study_of`` simulates them, ``questions`` answers
the twenty questions, ``timeline`` explains one run second by second, ``charts`` and ``topology`` draw, ``against``
compares two set-ups, ``gather`` puts all of it together as plain data, ``render`` writes the page.
"""
