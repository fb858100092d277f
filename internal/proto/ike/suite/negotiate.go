package suite

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/spokeway/spokeway/internal/proto/ike/wire"
)

// ErrNoProposal is what a negotiation fails with: NO_PROPOSAL_CHOSEN. The text around it says what is missing.
var ErrNoProposal = errors.New("no proposal chosen")

// OfferIKE is the SA payload that offers ps for an IKE SA. spi is empty in IKE_SA_INIT, and the new SPI in a rekey.
func OfferIKE(ps []Policy, spi []byte) *wire.SA {
	return offer(ikeTemplates(ps), wire.ProtocolIKE, spi)
}

// OfferChild is the SA payload that offers ps for a Child SA; withKE in CREATE_CHILD_SA, where it may have a key
// exchange of its own, and not in IKE_AUTH (RFC 7296 section 1.2).
func OfferChild(ps []Policy, spi uint32, withKE bool) *wire.SA {
	return offer(childTemplates(ps, withKE), wire.ProtocolESP, binary.BigEndian.AppendUint32(nil, spi))
}

// ChooseIKE chooses from an offer for an IKE SA: the first of our policies that a proposal satisfies, and our order of
// algorithms; but the group of the initiator's KE payload, guess, before other groups (0 is none), since that saves a
// round trip. The proposal is the answer, but for our SPI in a rekey: in SPI it has none.
func ChooseIKE(offer *wire.SA, ps []Policy, guess Group) (IKE, wire.Proposal, error) {
	chosen, _, err := choose(offer, ikeTemplates(ps), wire.ProtocolIKE, guess)
	if err != nil {
		return IKE{}, wire.Proposal{}, fmt.Errorf("choose an ike proposal: %w", err)
	}
	return ikeOf(chosen.Transforms), chosen, nil
}

// ChooseChild chooses from an offer for a Child SA, as ChooseIKE does, and gives the initiator's SPI.
func ChooseChild(offer *wire.SA, ps []Policy, withKE bool, guess Group) (Child, uint32, wire.Proposal, error) {
	chosen, spi, err := choose(offer, childTemplates(ps, withKE), wire.ProtocolESP, guess)
	if err != nil {
		return Child{}, 0, wire.Proposal{}, fmt.Errorf("choose an esp proposal: %w", err)
	}
	return childOf(chosen.Transforms), binary.BigEndian.Uint32(spi), chosen, nil
}

// CheckIKE reads the answer to OfferIKE: one of our proposals by its number, narrowed to one algorithm of each type.
// The SPI of a rekey is in the answer.
func CheckIKE(answer *wire.SA, ps []Policy) (IKE, error) {
	transforms, _, err := check(answer, ikeTemplates(ps), wire.ProtocolIKE)
	if err != nil {
		return IKE{}, fmt.Errorf("check the chosen ike proposal: %w", err)
	}
	return ikeOf(transforms), nil
}

// CheckChild reads the answer to OfferChild, as CheckIKE does, and gives the responder's SPI.
func CheckChild(answer *wire.SA, ps []Policy, withKE bool) (Child, uint32, error) {
	transforms, spi, err := check(answer, childTemplates(ps, withKE), wire.ProtocolESP)
	if err != nil {
		return Child{}, 0, fmt.Errorf("check the chosen esp proposal: %w", err)
	}
	return childOf(transforms), binary.BigEndian.Uint32(spi), nil
}

func offer(templates []template, protocol wire.Protocol, spi []byte) *wire.SA {
	sa := new(wire.SA)
	for i, t := range templates {
		sa.Proposals = append(sa.Proposals, wire.Proposal{
			Number:     uint8(i + 1),
			Protocol:   protocol,
			SPI:        slices.Clone(spi),
			Transforms: slices.Concat(t...),
		})
	}
	return sa
}

func choose(offer *wire.SA, templates []template, protocol wire.Protocol, guess Group) (wire.Proposal, []byte, error) {
	if offer == nil || len(offer.Proposals) == 0 {
		return wire.Proposal{}, nil, fmt.Errorf("%w: the peer offers nothing", ErrNoProposal)
	}
	var best mismatch
	for _, t := range templates {
		for _, p := range offer.Proposals {
			transforms, miss := t.match(p, protocol, guess)
			if miss == nil {
				return wire.Proposal{Number: p.Number, Protocol: protocol, Transforms: transforms}, p.SPI, nil
			}
			best.nearer(miss)
		}
	}
	return wire.Proposal{}, nil, best.error()
}

// check matches an answer against the template that we offered under its number.
func check(answer *wire.SA, templates []template, protocol wire.Protocol) ([]wire.Transform, []byte, error) {
	if answer == nil || len(answer.Proposals) != 1 {
		return nil, nil, fmt.Errorf("%w: the answer must have one proposal", ErrNoProposal)
	}
	p := answer.Proposals[0]
	i := int(p.Number) - 1
	if i < 0 || i >= len(templates) {
		return nil, nil, fmt.Errorf("%w: we offered no proposal %d", ErrNoProposal, p.Number)
	}
	for j, t := range p.Transforms {
		if slices.ContainsFunc(p.Transforms[:j], func(u wire.Transform) bool { return u.Type == t.Type }) {
			return nil, nil, fmt.Errorf("%w: the answer has two transforms of type %d", ErrNoProposal, t.Type)
		}
	}
	transforms, miss := templates[i].match(p, protocol, NoGroup)
	if miss != nil {
		return nil, nil, miss.error()
	}
	return transforms, p.SPI, nil
}
