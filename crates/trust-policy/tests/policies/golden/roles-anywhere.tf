resource "aws_iam_role" "rolesanywhere" {
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Effect = "Allow"
        Action = [
          "sts:AssumeRole",
          "sts:TagSession",
          "sts:SetSourceIdentity",
        ]
        Principal = {
          Service = [
            "rolesanywhere.amazonaws.com",
            "pods.eks.amazonaws.com",
            "ec2.amazonaws.com",
          ]
        }
      },
    ]
  })
}

resource "aws_iam_instance_profile" "rolesanywhere" {
  role = aws_iam_role.rolesanywhere.name
}
